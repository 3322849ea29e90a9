//! MODE lines (RFC 1459 §4.2.3), read as the server's own `CHANMODES` and `PREFIX` say.
//!
//! Which letters take a parameter differs from server to server. A reader with a fixed table pairs letters with the
//! wrong parameters, and then somebody who set a harmless mode is an operator (GHSA-xvqg-mv25-rwvw).

/// What a mode letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModeType {
    /// Adds to or takes from a list, such as bans (type A). Without a parameter it asks for the list.
    List,
    /// Always has a parameter, such as a key (type B).
    Always,
    /// Has a parameter when set, such as a limit (type C).
    WhenSet,
    /// Never has one (type D); what an unknown letter is taken for.
    Flag,
    /// A member's rank, such as operator; the parameter is the nick.
    Rank,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModeChange {
    /// `+` or `-`.
    pub set: bool,
    /// The letter.
    pub mode: char,
    /// What the letter is.
    pub kind: ModeType,
    /// Its parameter; always present for [`ModeType::Rank`].
    pub param: Option<String>,
}

/// What each letter takes on one server, and which ranks there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeTypes {
    lists: Box<str>,
    always: Box<str>,
    when_set: Box<str>,
    /// Letter and sign, highest rank first.
    ranks: Box<[(char, char)]>,
}

/// Most ranks taken from a server. No server has more than a handful.
const MAX_RANKS: usize = 16;

impl Default for ModeTypes {
    /// What RFC 2811 says.
    fn default() -> Self {
        Self { lists: "beI".into(), always: "k".into(), when_set: "l".into(), ranks: [('o', '@'), ('v', '+')].into() }
    }
}

impl ModeTypes {
    /// Takes in the value of `PREFIX`, `(ov)@+`; `None` puts the default back. What is not of that form changes
    /// nothing; an empty value means that there are no ranks.
    pub(crate) fn apply_prefix(&mut self, value: Option<&str>) {
        let Some(value) = value else {
            self.ranks = Self::default().ranks;
            return;
        };
        if value.is_empty() {
            self.ranks = Box::default();
            return;
        }
        let Some((letters, signs)) = value.strip_prefix('(').and_then(|value| value.split_once(')')) else { return };
        if letters.chars().count() != signs.chars().count() || !letters.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return;
        }
        if signs.chars().any(|sign| !sign.is_ascii_punctuation()) {
            return;
        }
        let mut ranks: Vec<(char, char)> = Vec::new();
        for (letter, sign) in letters.chars().zip(signs.chars()).take(MAX_RANKS) {
            if ranks.iter().all(|rank| rank.0 != letter && rank.1 != sign) {
                ranks.push((letter, sign));
            }
        }
        self.ranks = ranks.into();
    }

    /// Takes in the value of `CHANMODES`, `A,B,C,D`; `None` puts the default back. Fewer than three commas change
    /// nothing.
    pub(crate) fn apply_chanmodes(&mut self, value: Option<&str>) {
        let Some(value) = value else {
            let ranks = std::mem::take(&mut self.ranks);
            *self = Self { ranks, ..Self::default() };
            return;
        };
        let kinds: Vec<&str> = value.split(',').collect();
        if let [lists, always, when_set, ..] = kinds[..]
            && kinds.len() >= 4
        {
            self.lists = letters(lists);
            self.always = letters(always);
            self.when_set = letters(when_set);
        }
    }

    /// What a letter is. A rank counts before what `CHANMODES` says of the same letter.
    pub fn kind(&self, mode: char) -> ModeType {
        if self.ranks.iter().any(|rank| rank.0 == mode) {
            ModeType::Rank
        } else if self.lists.contains(mode) {
            ModeType::List
        } else if self.always.contains(mode) {
            ModeType::Always
        } else if self.when_set.contains(mode) {
            ModeType::WhenSet
        } else {
            ModeType::Flag
        }
    }

    /// Letter and sign of every rank, highest first: `('o', '@'), ('v', '+')`.
    pub fn ranks(&self) -> &[(char, char)] {
        &self.ranks
    }

    /// The letter of a sign: `@` → `o`.
    pub fn rank_of_sign(&self, sign: char) -> Option<char> {
        self.ranks.iter().find(|rank| rank.1 == sign).map(|rank| rank.0)
    }

    /// Splits the signs off a nick in a NAMES reply; the letters of its ranks, highest first.
    pub fn split_ranks<'a>(&self, entry: &'a str) -> (Ranks, &'a str) {
        let mut ranks = Ranks::default();
        let mut rest = entry;
        while let Some(sign) = rest.chars().next() {
            let Some(letter) = self.rank_of_sign(sign) else { break };
            ranks.set(letter, true);
            rest = &rest[sign.len_utf8()..];
        }
        (ranks, rest)
    }

    /// Reads the changes of one channel MODE line: the letters, then the parameters.
    ///
    /// A letter whose parameter is missing is left out if it cannot be understood without one (a rank, a key that is
    /// set); a list letter without one is a question and is left out too. Parameters that no letter asks for count
    /// for nothing.
    pub fn parse<S: AsRef<str>>(&self, params: &[S]) -> Vec<ModeChange> {
        let mut changes = Vec::new();
        let Some((letters, arguments)) = params.split_first() else { return changes };
        let mut arguments = arguments.iter().map(AsRef::as_ref);
        let mut set = true;
        for mode in letters.as_ref().chars() {
            match mode {
                '+' => set = true,
                '-' => set = false,
                _ => {
                    let kind = self.kind(mode);
                    let takes = kind != ModeType::Flag && (set || kind != ModeType::WhenSet);
                    let param = if takes { arguments.next().map(str::to_owned) } else { None };
                    let understood = match kind {
                        ModeType::Flag => true,
                        ModeType::WhenSet => !set || param.is_some(),
                        // Some servers take a key off without saying which.
                        ModeType::Always => !set || param.is_some(),
                        ModeType::List | ModeType::Rank => param.is_some(),
                    };
                    if understood {
                        changes.push(ModeChange { set, mode, kind, param });
                    }
                }
            }
        }
        changes
    }
}

fn letters(value: &str) -> Box<str> {
    value.chars().filter(char::is_ascii_alphanumeric).take(64).collect::<String>().into()
}

/// The ranks a member holds: a set of mode letters, 8 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Ranks(u64);

impl Ranks {
    /// Adds or takes away the rank of a letter; anything but an ASCII letter counts for nothing.
    pub fn set(&mut self, letter: char, on: bool) {
        let bit = Self::bit(letter);
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }

    /// Whether the rank is held.
    pub fn has(self, letter: char) -> bool {
        self.0 & Self::bit(letter) != 0
    }

    /// Whether no rank is held.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The letters held, in the order of a server's ranks, highest first.
    pub fn letters(self, types: &ModeTypes) -> impl Iterator<Item = char> {
        types.ranks().iter().map(|rank| rank.0).filter(move |letter| self.has(*letter))
    }

    fn bit(letter: char) -> u64 {
        match letter {
            'a'..='z' => 1 << (letter as u32 - 'a' as u32),
            'A'..='Z' => 1 << (letter as u32 - 'A' as u32 + 26),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inspircd() -> ModeTypes {
        let mut types = ModeTypes::default();
        types.apply_prefix(Some("(qaohv)~&@%+"));
        types.apply_chanmodes(Some("IXbeg,k,FHJLfjl,ACKMNOPRSTUcimnprstuz"));
        types
    }

    fn written(types: &ModeTypes, line: &str) -> String {
        let params: Vec<_> = line.split(' ').collect();
        let change = |change: ModeChange| {
            let sign = if change.set { '+' } else { '-' };
            format!("{sign}{}{}", change.mode, change.param.map_or(String::new(), |param| format!("={param}")))
        };
        types.parse(&params).into_iter().map(change).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn letters_get_the_parameters_that_are_theirs() {
        let types = inspircd();
        let table = [
            ("+o alice", "+o=alice"),
            ("+ov-v alice bob carol", "+o=alice +v=bob -v=carol"),
            ("+nt", "+n +t"),
            ("+kl secret 10", "+k=secret +l=10"),
            ("-lk+o secret alice", "-l -k=secret +o=alice"),
            ("+f-o 5:1 alice", "+f=5:1 -o=alice"),
            ("o alice", "+o=alice"),
            ("+-+-n", "-n"),
        ];
        for (line, changes) in table {
            assert_eq!(written(&types, line), changes, "{line}");
        }
    }

    #[test]
    fn hostile_lines_make_nobody_an_operator() {
        let types = inspircd();
        let table = [
            // A letter nobody knows takes nothing, so the parameter stays with the rank that stands first.
            ("+Zo alice", "+Z +o=alice"),
            ("+o", ""),
            ("+oo alice", "+o=alice"),
            ("+b", ""),
            ("+k", ""),
            ("+l", ""),
            ("-k", "-k"),
            ("+n alice bob carol", "+n"),
            ("", ""),
            ("+", ""),
            ("+bo *!*@evil alice", "+b=*!*@evil +o=alice"),
        ];
        for (line, changes) in table {
            assert_eq!(written(&types, line), changes, "{line}");
        }
        assert!(types.parse::<&str>(&[]).is_empty());
    }

    #[test]
    fn the_same_line_is_read_differently_where_the_server_says_so() {
        // With `f` a flag, the first parameter belongs to `o`; with `f` a type C mode it does not.
        assert_eq!(written(&ModeTypes::default(), "+fo alice bob"), "+f +o=alice");
        assert_eq!(written(&inspircd(), "+fo alice bob"), "+f=alice +o=bob");
    }

    #[test]
    fn absurd_isupport_leaves_the_rules_that_were() {
        for prefix in ["(ov)@", "ov@+", "(o", "(é)é", "(oo)@@ ", "(o)a"] {
            let mut types = ModeTypes::default();
            types.apply_prefix(Some(prefix));
            assert_eq!(types, ModeTypes::default(), "{prefix}");
        }
        let mut types = ModeTypes::default();
        types.apply_chanmodes(Some("b,k"));
        assert_eq!(types, ModeTypes::default());
        types.apply_prefix(Some(""));
        assert!(types.ranks().is_empty());
        types.apply_prefix(Some("(oo)@+"));
        assert_eq!(types.ranks(), [('o', '@')]);
        types.apply_prefix(None);
        assert_eq!(types, ModeTypes::default());
    }

    #[test]
    fn names_entries_lose_all_their_signs() {
        let types = inspircd();
        let (ranks, nick) = types.split_ranks("~@+alice");
        assert_eq!((ranks.letters(&types).collect::<String>().as_str(), nick), ("qov", "alice"));
        assert_eq!(types.split_ranks("bob"), (Ranks::default(), "bob"));
        assert_eq!(types.split_ranks("@").1, "");
    }

    proptest! {
        #[test]
        fn no_line_panics_and_every_parameter_is_one_that_was_given(
            prefix in "(\\([a-zA-Z]{0,4}\\))?[~&@%+]{0,4}",
            chanmodes in "[a-zA-Z,]{0,16}",
            params in proptest::collection::vec("[-+a-zA-Z\\PC]{0,10}", 0..6),
        ) {
            let mut types = ModeTypes::default();
            types.apply_prefix(Some(&prefix));
            types.apply_chanmodes(Some(&chanmodes));
            let mut given = params.iter().skip(1);
            for change in types.parse(&params) {
                prop_assert!(change.kind != ModeType::Rank || change.param.is_some());
                prop_assert!(change.kind != ModeType::Flag || change.param.is_none());
                if let Some(param) = &change.param {
                    prop_assert!(given.any(|other| other == param), "parameters keep their order");
                }
            }
        }
    }
}
