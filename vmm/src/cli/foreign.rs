//! Text from a guest, made fit for a terminal.

use std::fmt::Write;

/// `text` with control characters, and others that a terminal acts on, shown as escapes, and cut
/// after `longest` characters.
pub fn printable(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(longest) {
        if is_active(letter) {
            // Writing into a string does not fail.
            let _ = write!(shown, "{}", letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, and the marks that change the direction of text.
fn is_active(letter: char) -> bool {
    (letter.is_control() && letter != '\t')
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(printable("a\tb", 9), "a\tb");
        assert_eq!(printable("\u{1b}[2Jx\r\u{9b}\u{202e}", 99), "\\u{1b}[2Jx\\r\\u{9b}\\u{202e}");
        assert_eq!(printable("Grüße", 3), "Grü…");
    }
}
