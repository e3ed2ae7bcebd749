//! Numbers, lists and texts of others as people read them.

/// A number of bytes: `17 B`, `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A text of somebody else's, as it may be shown: without control characters, `longest` characters at most.
pub fn shown(text: &str, longest: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(longest).collect()
}

/// Several remarks as one; none when there are none.
pub fn one_line(remarks: &[String]) -> Option<String> {
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let sizes = [5, 17, 2048, 1_572_864, 5 << 20].map(size);
        assert_eq!(sizes, ["5 B", "17 B", "2.0 KiB", "1.5 MiB", "5.0 MiB"]);
    }
}
