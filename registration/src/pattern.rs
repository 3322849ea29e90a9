//! Regular expressions of namespaces.

use regex_automata::{meta::Regex, util::syntax};
use regex_syntax::ast;

use crate::{Fault, Faults, Namespace, NamespaceKind};

/// How much memory one list of namespaces may take when compiled: enough for some ten thousand plain ones, little enough
/// that `(a{1000}){1000}` is refused.
const MAX_COMPILED_BYTES: usize = 10 << 20;

/// How long one regular expression may be, in bytes.
const MAX_PATTERN_BYTES: usize = 64 << 10;

/// How deep groups may be nested.
const MAX_NESTING: u32 = 100;

/// Why a regular expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    problem: String,
    fix: &'static str,
}

/// Checks one expression by itself.
pub(crate) fn check(pattern: &str) -> Result<(), (String, &'static str)> {
    if pattern.len() > MAX_PATTERN_BYTES {
        let fix = "Split it into several namespaces.";
        return Err((format!("is longer than {MAX_PATTERN_BYTES} bytes"), fix));
    }
    let mut parser = ast::parse::ParserBuilder::new().nest_limit(MAX_NESTING).build();
    parser.parse(pattern).map_err(|error| explain(error.kind(), error.span().start.column))?;
    compile(&[pattern]).map(drop).map_err(|problem| (problem.problem, problem.fix))
}

/// Compiles expressions of which any may match.
pub(crate) fn compile(patterns: &[&str]) -> Result<Regex, Problem> {
    let config = Regex::config().nfa_size_limit(Some(MAX_COMPILED_BYTES));
    let syntax = syntax::Config::new().nest_limit(MAX_NESTING);
    Regex::builder().configure(config).syntax(syntax).build_many(patterns).map_err(|error| match error.syntax_error() {
        Some(_) => Problem { problem: "is not a valid regular expression".to_owned(), fix: "Correct the expression." },
        None => Problem {
            problem: format!("needs more than {} MiB of memory", MAX_COMPILED_BYTES >> 20),
            fix: "Use smaller repetition counts.",
        },
    })
}

fn explain(kind: &ast::ErrorKind, column: usize) -> (String, &'static str) {
    match kind {
        ast::ErrorKind::UnsupportedLookAround => (
            format!("uses look-around at character {column}, which takes unbounded time and is not supported"),
            "Say what the identifier starts with instead; leave out `(?=`, `(?!`, `(?<=` and `(?<!`.",
        ),
        ast::ErrorKind::UnsupportedBackreference => (
            format!("refers back to a group at character {column}, which takes unbounded time and is not supported"),
            "Write out what may stand there.",
        ),
        ast::ErrorKind::NestLimitExceeded(_) => {
            (format!("nests groups deeper than {MAX_NESTING}"), "Use fewer groups.")
        }
        kind => (
            format!("is not a valid regular expression: {kind}, at character {column}"),
            "Correct the expression; in YAML put it between single quotes.",
        ),
    }
}

impl Problem {
    /// Names the namespaces that are at fault; the list, if each is right by itself.
    pub(crate) fn into_faults(self, kind: NamespaceKind, namespaces: &[Namespace]) -> Faults {
        let bad = namespaces.iter().enumerate().filter_map(|(index, namespace)| {
            let (problem, fix) = check(&namespace.regex).err()?;
            let path = format!("namespaces.{kind}[{index}].regex");
            Some(Fault { at: None, path, problem, fix: fix.to_owned() })
        });
        let mut faults: Vec<Fault> = bad.collect();
        if faults.is_empty() {
            let path = format!("namespaces.{kind}");
            faults.push(Fault { at: None, path, problem: self.problem, fix: self.fix.to_owned() });
        }
        Faults(faults)
    }
}
