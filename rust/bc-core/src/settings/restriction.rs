//! Settings that restrict.

/// What a setting says without which more would be granted. One that is set and is not understood grants nothing:
/// whoever wrote it wanted less than the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restriction<T> {
    /// It is not set, and restricts nothing.
    Absent,
    /// It restricts to this.
    To(T),
    /// It is set and cannot be understood, or its name is misspelt: it restricts wholly.
    Malformed,
}

impl<T> Restriction<T> {
    /// What is left of a restriction: `default` where it is absent, none where it is malformed.
    pub(super) fn or(self, default: T) -> Option<T> {
        match self {
            Restriction::Absent => Some(default),
            Restriction::To(value) => Some(value),
            Restriction::Malformed => None,
        }
    }

    /// To what a restriction restricts; none where it is absent or not understood.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Restriction::To(value) => Some(value),
            Restriction::Absent | Restriction::Malformed => None,
        }
    }

    /// Whether the restriction is set, understood or not.
    pub fn is_set(&self) -> bool {
        !matches!(self, Restriction::Absent)
    }
}
