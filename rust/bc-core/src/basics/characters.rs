//! Characters that make a text read as another one.

/// Whether a character must not be shown: a control character, or one that is invisible and changes how the text around
/// it reads, such as a mark of direction.
pub(crate) fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_deceives_and_no_letter_does() {
        for character in
            "\0\n\x1b\x7f\u{85}\u{ad}\u{61c}\u{200b}\u{200e}\u{202e}\u{2028}\u{2066}\u{feff}\u{e0041}".chars()
        {
            assert!(is_deceptive(character), "{}", character.escape_unicode());
        }
        for character in "aZ9 -_.~%\u{fc}\u{5d0}\u{627}\u{6771}\u{1f680}".chars() {
            assert!(!is_deceptive(character), "{}", character.escape_unicode());
        }
    }
}
