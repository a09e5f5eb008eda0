//! Tables as arguments of functions, `TUMBLE(TABLE t, …)`, in a form that sqlparser knows:
//! `TUMBLE(TABLE(t), …)`.
//!
//! `TABLE t PARTITION BY (a, b)` becomes `TABLE(t, (a, b))`.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Span, Token, TokenWithSpan},
};

/// The functions of FROM that make windows.
pub(crate) const WINDOWS: &[&str] = &["TUMBLE", "HOP", "CUMULATE", "SESSION"];

/// The tokens with the tables in calls of windows rewritten; each keeps its place.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut rewriting = Rewriting::default();
    for token in tokens {
        match token.token {
            Token::Whitespace(_) => rewriting.out.push(token),
            _ => rewriting.token(token),
        }
    }
    rewriting.out
}

#[derive(Default)]
struct Rewriting {
    out: Vec<TokenWithSpan>,
    /// For each parenthesis that is open, whether it has the arguments of a window.
    open: Vec<bool>,
    /// How many parentheses are open around the argument TABLE whose end has not come.
    table: Option<usize>,
    /// The last token, and whether BY has to follow it.
    last: Option<Token>,
    partition: bool,
}

impl Rewriting {
    fn token(&mut self, token: TokenWithSpan) {
        let TokenWithSpan { token, span } = token;
        let in_table = self.table == Some(self.open.len());
        if in_table && matches!(token, Token::Comma | Token::RParen) {
            self.push(Token::RParen, span);
            self.table = None;
        }
        match &token {
            Token::LParen => self.open.push(self.last.as_ref().is_some_and(is_window)),
            Token::RParen => drop(self.open.pop()),
            _ => {}
        }
        let begins = matches!(self.last, Some(Token::LParen | Token::Comma | Token::RArrow));
        let is_argument = begins && self.open.last() == Some(&true);
        match keyword(&token) {
            Some(Keyword::TABLE) if is_argument => {
                self.push(token.clone(), span);
                self.push(Token::LParen, span);
                self.table = Some(self.open.len());
            }
            Some(Keyword::PARTITION) if in_table => {
                self.push(Token::Comma, span);
                self.partition = true;
            }
            Some(Keyword::BY) if self.partition => self.partition = false,
            _ => self.push(token.clone(), span),
        }
        self.last = Some(token);
    }

    fn push(&mut self, token: Token, span: Span) {
        self.out.push(TokenWithSpan::new(token, span));
    }
}

fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

fn is_window(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none()
        && WINDOWS.iter().any(|name| word.value.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::{super::tokens, *};

    /// The tokens of a text as they are parsed.
    fn shown(text: &str) -> String {
        let tokens = tokens(text).unwrap().into_iter().map(|token| token.token);
        let tokens = tokens.filter(|token| !matches!(token, Token::Whitespace(_)));
        tokens.map(|token| token.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tables_are_arguments_of_windows() {
        for (text, expected) in [
            ("TABLE(TUMBLE(TABLE t, x))", "TABLE ( TUMBLE ( TABLE ( t ) , x ) )"),
            ("hop(DATA => TABLE a.t)", "hop ( DATA => TABLE ( a . t ) )"),
            ("hop(x, DATA => table `t`, y)", "hop ( x , DATA => table ( `t` ) , y )"),
            ("SESSION(TABLE t PARTITION BY k, x)", "SESSION ( TABLE ( t , k ) , x )"),
            ("SESSION(TABLE t PARTITION BY (k, l))", "SESSION ( TABLE ( t , ( k , l ) ) )"),
            // What is no argument of a window stays.
            ("f(TABLE t)", "f ( TABLE t )"),
            ("CUMULATE(f(TABLE t), TABLE", "CUMULATE ( f ( TABLE t ) , TABLE ("),
            ("`TUMBLE`(TABLE t)", "`TUMBLE` ( TABLE t )"),
            ("TUMBLE(x TABLE t PARTITION BY k)", "TUMBLE ( x TABLE t PARTITION BY k )"),
            ("OVER (PARTITION BY k)", "OVER ( PARTITION BY k )"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
