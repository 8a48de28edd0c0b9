//! Rust source as words and punctuation, each with its line: as much of the language as it takes
//! to tell code from comments and literals.

/// A word or a piece of punctuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// An identifier or keyword (`r#` kept), `::`, or one character of anything else.
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token {
    /// Tells whether this is an identifier or a keyword.
    pub(crate) fn is_word(&self) -> bool {
        self.text.chars().next().is_some_and(is_word_char)
    }
}

/// Splits a source file. Comments, literals of characters and strings, and lifetimes are left
/// out. What does not end ends with the file.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1 };
    let mut found = Vec::new();
    while let Some(char) = lexer.peek(0) {
        let line = lexer.line;
        match (char, lexer.peek(1)) {
            ('/', Some('/')) => lexer.skip_while(|char| char != '\n'),
            ('/', Some('*')) => lexer.skip_block_comment(),
            ('"', _) => lexer.skip_string(),
            ('\'', _) => lexer.skip_char_or_lifetime(),
            (':', Some(':')) => {
                lexer.skip(2);
                found.push(Token { text: "::".to_owned(), line });
            }
            _ if char.is_whitespace() => lexer.skip(1),
            _ if is_word_char(char) => {
                if let Some(text) = lexer.word_or_literal() {
                    found.push(Token { text, line });
                }
            }
            _ => {
                lexer.skip(1);
                found.push(Token { text: char.to_string(), line });
            }
        }
    }
    found
}

fn is_word_char(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == Some('\n') {
                self.line += 1;
            }
            self.at += 1;
        }
    }

    fn skip_while(&mut self, go_on: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&go_on) {
            self.skip(1);
        }
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) {
        let mut depth = 0usize;
        while let Some(char) = self.peek(0) {
            match (char, self.peek(1)) {
                ('/', Some('*')) => {
                    depth += 1;
                    self.skip(2);
                }
                ('*', Some('/')) => {
                    depth -= 1;
                    self.skip(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.skip(1),
            }
        }
    }

    fn skip_string(&mut self) {
        self.skip(1);
        while let Some(char) = self.peek(0) {
            match char {
                '\\' => self.skip(2),
                '"' => return self.skip(1),
                _ => self.skip(1),
            }
        }
    }

    /// Nothing escapes in a raw string: it ends at a quote with as many `#` as it began with.
    fn skip_raw_string(&mut self, hashes: usize) {
        self.skip(hashes + 1);
        while let Some(char) = self.peek(0) {
            self.skip(1);
            if char == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                return self.skip(hashes);
            }
        }
    }

    fn skip_char_or_lifetime(&mut self) {
        if self.peek(1) == Some('\\') {
            self.skip(3);
            self.skip_while(|char| char != '\'');
            self.skip(1);
        } else if self.peek(2) == Some('\'') {
            self.skip(3);
        } else {
            self.skip(1);
            self.skip_while(is_word_char);
        }
    }

    /// A word, or `None` for a literal that begins like one.
    fn word_or_literal(&mut self) -> Option<String> {
        let start = self.at;
        self.skip_while(is_word_char);
        let word: String = self.chars[start..self.at].iter().collect();
        match (word.as_str(), self.peek(0)) {
            ("b" | "c", Some('"')) => {
                self.skip_string();
                None
            }
            ("b", Some('\'')) => {
                self.skip_char_or_lifetime();
                None
            }
            ("r" | "br" | "cr", Some('"' | '#')) => self.raw_word_or_string(word),
            _ => Some(word),
        }
    }

    fn raw_word_or_string(&mut self, prefix: String) -> Option<String> {
        let hashes = self.chars[self.at..].iter().take_while(|char| **char == '#').count();
        if self.peek(hashes) == Some('"') {
            self.skip_raw_string(hashes);
            return None;
        }
        if hashes != 1 || !self.peek(1).is_some_and(is_word_char) {
            return Some(prefix);
        }
        let start = self.at;
        self.skip(1);
        self.skip_while(is_word_char);
        Some(prefix + &self.chars[start..self.at].iter().collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_leave_nothing_behind() {
        for source in [
            "// a use of b",
            "//! a",
            "/* a /* nested */ still */",
            "\"a // b\"",
            r#""a \" b \\""#,
            r##"r"a\""##,
            r###"r#"a " b"#"###,
            r###"br##"a "# b"##"###,
            "b\"a\"",
            "c\"a\"",
            "'a'",
            "'\"'",
            r"'\''",
            r"'\\'",
            r"'\u{1F600}'",
            r"b'\n'",
            "'static",
            "\"a\nb\"",
        ] {
            assert_eq!(words(&format!("x {source}\n y")), ["x", "y"], "{source}");
        }
    }

    #[test]
    fn code_around_literals_is_seen() {
        assert_eq!(words(r#"f('"', a)"#), ["f", "(", ",", "a", ")"]);
        assert_eq!(words("&'a str"), ["&", "str"]);
        assert_eq!(words("a::b :c"), ["a", "::", "b", ":", "c"]);
        assert_eq!(words("r#use::r#type"), ["r#use", "::", "r#type"]);
        assert_eq!(words("r + b/c"), ["r", "+", "b", "/", "c"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let found = tokens("a /*\n\n*/ b \"\n\\\n\" c\n// d\ne");
        let lines: Vec<_> = found.iter().map(|token| (token.text.as_str(), token.line)).collect();
        assert_eq!(lines, [("a", 1), ("b", 3), ("c", 5), ("e", 7)]);
    }

    #[test]
    fn what_does_not_end_ends_with_the_file() {
        for source in ["/* a", "\"a", "\"a\\", "r#\"a\"", "'\\", "'"] {
            assert_eq!(words(source), [""; 0], "{source}");
        }
    }
}
