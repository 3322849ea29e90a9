//! Numeric replies and what each means for us.
//!
//! Names are RFC 2812's and [modern.ircdocs](https://modern.ircdocs.horse/#numerics)'. What to do is decided by
//! number; words are looked at in one place only, [`EndClass::of_error`], because `ERROR` has no number. A numeric that
//! nobody knows changes nothing: it never ends a connection.

macro_rules! numerics {
    ($($name:ident = $number:literal),* $(,)?) => {
        $(#[doc = concat!("`", stringify!($name), "`")] pub const $name: u16 = $number;)*

        /// The name of a number, for logs.
        pub fn name(number: u16) -> Option<&'static str> {
            match number {
                $($number => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

numerics! {
    RPL_WELCOME = 1, RPL_YOURHOST = 2, RPL_CREATED = 3, RPL_MYINFO = 4, RPL_ISUPPORT = 5, RPL_REDIR = 10,
    RPL_UMODEIS = 221, RPL_TRYAGAIN = 263, RPL_AWAY = 301, RPL_USERHOST = 302, RPL_UNAWAY = 305, RPL_NOWAWAY = 306,
    RPL_CHANNELMODEIS = 324, RPL_NOTOPIC = 331, RPL_TOPIC = 332, RPL_TOPICWHOTIME = 333, RPL_INVITING = 341,
    RPL_NAMREPLY = 353, RPL_WHOSPCRPL = 354, RPL_ENDOFNAMES = 366, RPL_ENDOFMOTD = 376, RPL_VISIBLEHOST = 396,
    ERR_UNKNOWNERROR = 400, ERR_NOSUCHNICK = 401, ERR_NOSUCHSERVER = 402, ERR_NOSUCHCHANNEL = 403,
    ERR_CANNOTSENDTOCHAN = 404, ERR_TOOMANYCHANNELS = 405, ERR_WASNOSUCHNICK = 406, ERR_TOOMANYTARGETS = 407,
    ERR_NOCTRLSONCHAN = 408, ERR_NORECIPIENT = 411, ERR_NOTEXTTOSEND = 412, ERR_NOTOPLEVEL = 413,
    ERR_WILDTOPLEVEL = 414, ERR_BADMASK = 415, ERR_INPUTTOOLONG = 417, ERR_UNKNOWNCOMMAND = 421, ERR_NOMOTD = 422,
    ERR_NONICKNAMEGIVEN = 431, ERR_ERRONEUSNICKNAME = 432, ERR_NICKNAMEINUSE = 433, ERR_BANONCHAN = 435,
    ERR_NICKCOLLISION = 436, ERR_UNAVAILRESOURCE = 437, ERR_NICKTOOFAST = 438, ERR_TARGETTOOFAST = 439,
    ERR_USERNOTINCHANNEL = 441, ERR_NOTONCHANNEL = 442, ERR_USERONCHANNEL = 443, ERR_CANTCHANGENICK = 447,
    ERR_NOTREGISTERED = 451, ERR_NEEDMOREPARAMS = 461, ERR_ALREADYREGISTERED = 462, ERR_NOPERMFORHOST = 463,
    ERR_PASSWDMISMATCH = 464, ERR_YOUREBANNEDCREEP = 465, ERR_YOUWILLBEBANNED = 466, ERR_KEYSET = 467,
    ERR_LINKCHANNEL = 470, ERR_CHANNELISFULL = 471, ERR_UNKNOWNMODE = 472, ERR_INVITEONLYCHAN = 473,
    ERR_BANNEDFROMCHAN = 474, ERR_BADCHANNELKEY = 475, ERR_BADCHANMASK = 476, ERR_NEEDREGGEDNICK = 477,
    ERR_BANLISTFULL = 478, ERR_THROTTLE = 480, ERR_NOPRIVILEGES = 481, ERR_CHANOPRIVSNEEDED = 482,
    ERR_ISCHANSERVICE = 484, ERR_NONONREG = 486, ERR_SECUREONLYCHAN = 489, ERR_NOOPERHOST = 491, ERR_NOCTCP = 492,
    ERR_DELAYREJOIN = 495, ERR_CANNOTKICK = 499, ERR_TOOMANYJOINS = 500, ERR_UMODEUNKNOWNFLAG = 501,
    ERR_USERSDONTMATCH = 502, ERR_GHOSTEDCLIENT = 503, ERR_NOTEXTTOSEND_SILENCED = 511, ERR_LISTFULL = 512,
    ERR_OPERONLY = 520, ERR_MAXMODE_CANTSENDTOUSER = 531, ERR_NOSWEAR = 573, ERR_DISABLED = 517,
    ERR_WHOTRUNC = 416, RPL_STARTTLS = 670, ERR_STARTTLS = 691, ERR_INVALIDMODEPARAM = 696,
    ERR_TARGUMODEG = 716, RPL_TARGNOTIFY = 717, ERR_NOPRIVS = 723, RPL_MONOFFLINE = 731, ERR_MONLISTFULL = 734, ERR_MLOCKRESTRICTED = 742,
    RPL_LOGGEDIN = 900, RPL_LOGGEDOUT = 901, ERR_NICKLOCKED = 902, RPL_SASLSUCCESS = 903, ERR_SASLFAIL = 904,
    ERR_SASLTOOLONG = 905, ERR_SASLABORTED = 906, ERR_SASLALREADY = 907, RPL_SASLMECHS = 908,
    ERR_CANNOTDOCOMMAND = 972,
}

/// What a numeric means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// An answer, or something we have no use for. Every number that nobody knows is this.
    Reply,
    /// The nick cannot be had.
    Nick(NickProblem),
    /// A channel cannot be joined.
    Join(JoinProblem),
    /// A command about a target (a message, a topic, a kick …) was refused.
    Refused(RefusedBecause),
    /// The server is about to end the connection.
    Fatal(EndClass),
}

/// Why a nick cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NickProblem {
    /// Somebody has it.
    InUse,
    /// Its form is wrong, or it is too long: most servers do not say which.
    Erroneous,
    /// Held back for a while, or for ever.
    Unavailable,
    /// A ban in a channel we are in forbids changing it.
    Banned,
    /// Too many changes; later it may work.
    TooFast,
}

/// Why a channel cannot be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinProblem {
    /// There is no such channel, or the name cannot be a channel's.
    NoSuchChannel,
    /// We are in as many as one may be.
    TooManyChannels,
    /// Its limit (`+l`) is reached.
    Full,
    /// Only by invitation (`+i`).
    InviteOnly,
    /// We are banned.
    Banned,
    /// The key is wrong or missing (`+k`).
    BadKey,
    /// Only for those who are logged in to services.
    NeedsAccount,
    /// Only over TLS.
    NeedsTls,
    /// Only for operators of the network.
    OpersOnly,
    /// Too many joins; later it may work.
    Throttled,
    /// Held back for a while; later it may work.
    Unavailable,
}

/// Why a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedBecause {
    /// There is no such nick.
    NoSuchNick,
    /// There is no such channel.
    NoSuchChannel,
    /// The channel does not take it: moderated, banned, no outside messages.
    CannotSend,
    /// The person does not take it: from unregistered users, from strangers, from anybody.
    NotAccepted,
    /// We are not in the channel.
    NotInChannel,
    /// The one it was about is not in the channel.
    TheyAreNotInChannel,
    /// The one who was invited is there already.
    AlreadyInChannel,
    /// It takes a rank that we do not have.
    NotPrivileged,
    /// Only for those who are logged in to services.
    NeedsAccount,
    /// Too much of it; later it may work.
    TooFast,
    /// The line was too long.
    TooLong,
    /// The server does not know the command or could not read it.
    BadCommand,
    /// Something else.
    Other,
}

/// Why a connection ended, by what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndClass {
    /// We asked for it.
    Requested,
    /// Something broke that may be whole again in a minute: connect again with back-off.
    Transient,
    /// Too many connections, or too fast: wait long (minutes) before the next attempt.
    Throttled,
    /// An operator ended the session with KILL. Coming back at once is an offence on most networks.
    Killed,
    /// A ban of the network (K-, G-, Z-line): stop. Trying again looks like evasion.
    Banned,
    /// Password, account or certificate is wrong: stop until somebody changes it.
    BadCredentials,
    /// The server is to be reached over TLS, at this port, and no other way.
    TlsOnly(u16),
    /// What we were told to do cannot work, such as a host name that is none: stop until somebody changes it.
    Config,
}

/// What a numeric means. `joining` says whether a JOIN for the channel it names is under way: some numbers are used for
/// joins and for messages alike.
pub fn meaning(number: u16, joining: bool) -> Meaning {
    if let Some(problem) = nick_problem(number) {
        return Meaning::Nick(problem);
    }
    if joining && let Some(problem) = join_problem(number) {
        return Meaning::Join(problem);
    }
    match number {
        ERR_PASSWDMISMATCH => Meaning::Fatal(EndClass::BadCredentials),
        ERR_NOPERMFORHOST | ERR_YOUREBANNEDCREEP => Meaning::Fatal(EndClass::Banned),
        ERR_NOMOTD | ERR_WASNOSUCHNICK | ERR_YOUWILLBEBANNED | ERR_WHOTRUNC | RPL_TARGNOTIFY => Meaning::Reply,
        400..=599
        | ERR_STARTTLS
        | ERR_INVALIDMODEPARAM
        | ERR_TARGUMODEG
        | ERR_NOPRIVS
        | ERR_MLOCKRESTRICTED
        | ERR_CANNOTDOCOMMAND => Meaning::Refused(refused_because(number)),
        _ => Meaning::Reply,
    }
}

fn nick_problem(number: u16) -> Option<NickProblem> {
    Some(match number {
        ERR_NICKNAMEINUSE | ERR_NICKCOLLISION => NickProblem::InUse,
        ERR_ERRONEUSNICKNAME | ERR_NONICKNAMEGIVEN => NickProblem::Erroneous,
        ERR_BANONCHAN | ERR_CANTCHANGENICK => NickProblem::Banned,
        ERR_NICKTOOFAST => NickProblem::TooFast,
        // 437 is a nick's or a channel's: the session looks at its parameter.
        _ => return None,
    })
}

/// Why a JOIN failed, if this number says so of a join.
pub fn join_problem(number: u16) -> Option<JoinProblem> {
    Some(match number {
        ERR_NOSUCHCHANNEL | ERR_BADCHANMASK | ERR_NOSUCHSERVER => JoinProblem::NoSuchChannel,
        ERR_TOOMANYCHANNELS | ERR_TOOMANYTARGETS => JoinProblem::TooManyChannels,
        ERR_CHANNELISFULL => JoinProblem::Full,
        ERR_INVITEONLYCHAN => JoinProblem::InviteOnly,
        ERR_BANNEDFROMCHAN => JoinProblem::Banned,
        ERR_BADCHANNELKEY => JoinProblem::BadKey,
        ERR_NEEDREGGEDNICK => JoinProblem::NeedsAccount,
        ERR_SECUREONLYCHAN => JoinProblem::NeedsTls,
        ERR_OPERONLY => JoinProblem::OpersOnly,
        ERR_THROTTLE | ERR_DELAYREJOIN | ERR_TOOMANYJOINS | ERR_TARGETTOOFAST | RPL_TRYAGAIN => JoinProblem::Throttled,
        ERR_UNAVAILRESOURCE => JoinProblem::Unavailable,
        _ => return None,
    })
}

/// Whether a numeric can be an answer to a verb: a channel's name alone does not tell a refused message from a refused
/// topic. Numbers nobody knows can answer anything; 0 is a standard reply.
pub(crate) fn can_answer(number: u16, verb: &str) -> bool {
    let talk = matches!(verb, "PRIVMSG" | "NOTICE" | "TAGMSG");
    match number {
        ERR_UNKNOWNCOMMAND | ERR_NEEDMOREPARAMS | ERR_NOSUCHCHANNEL | ERR_INPUTTOOLONG => true,
        ERR_CANNOTSENDTOCHAN | ERR_NOCTRLSONCHAN | ERR_NOCTCP | ERR_NOSWEAR | ERR_NORECIPIENT..=ERR_BADMASK => talk,
        ERR_NONONREG | ERR_MAXMODE_CANTSENDTOUSER | ERR_TARGUMODEG | ERR_NOTEXTTOSEND_SILENCED => talk,
        ERR_NEEDREGGEDNICK | ERR_TARGETTOOFAST | ERR_TOOMANYTARGETS | ERR_THROTTLE => talk || verb == "JOIN",
        ERR_LINKCHANNEL | ERR_UNAVAILRESOURCE => matches!(verb, "JOIN" | "NICK"),
        _ if nick_problem(number).is_some() => verb == "NICK",
        _ if join_problem(number).is_some() => verb == "JOIN",
        ERR_NOTONCHANNEL | ERR_CHANOPRIVSNEEDED | ERR_USERNOTINCHANNEL | ERR_USERONCHANNEL => !talk && verb != "JOIN",
        ERR_KEYSET | ERR_UNKNOWNMODE | ERR_BANLISTFULL | ERR_INVALIDMODEPARAM | ERR_MLOCKRESTRICTED => verb == "MODE",
        _ => true,
    }
}

fn refused_because(number: u16) -> RefusedBecause {
    match number {
        ERR_NOSUCHNICK | ERR_NOSUCHSERVER => RefusedBecause::NoSuchNick,
        ERR_NOSUCHCHANNEL | ERR_BADCHANMASK => RefusedBecause::NoSuchChannel,
        ERR_CANNOTSENDTOCHAN | ERR_NOCTRLSONCHAN | ERR_NOCTCP | ERR_NOSWEAR => RefusedBecause::CannotSend,
        ERR_NONONREG | ERR_MAXMODE_CANTSENDTOUSER | ERR_TARGUMODEG | ERR_NOTEXTTOSEND_SILENCED => {
            RefusedBecause::NotAccepted
        }
        ERR_NOTONCHANNEL => RefusedBecause::NotInChannel,
        ERR_USERNOTINCHANNEL => RefusedBecause::TheyAreNotInChannel,
        ERR_USERONCHANNEL => RefusedBecause::AlreadyInChannel,
        ERR_CHANOPRIVSNEEDED | ERR_NOPRIVILEGES | ERR_NOPRIVS | ERR_ISCHANSERVICE | ERR_MLOCKRESTRICTED
        | ERR_CANNOTKICK => RefusedBecause::NotPrivileged,
        ERR_NEEDREGGEDNICK => RefusedBecause::NeedsAccount,
        ERR_TARGETTOOFAST | ERR_TOOMANYTARGETS | ERR_THROTTLE => RefusedBecause::TooFast,
        ERR_INPUTTOOLONG => RefusedBecause::TooLong,
        ERR_UNKNOWNCOMMAND | ERR_NEEDMOREPARAMS | ERR_NORECIPIENT | ERR_NOTEXTTOSEND | ERR_CANNOTDOCOMMAND
        | ERR_DISABLED => RefusedBecause::BadCommand,
        _ => RefusedBecause::Other,
    }
}

impl EndClass {
    /// Reads the words of an `ERROR`. What was learnt from a numeric before (465, 464) counts more than this.
    ///
    /// The reason an operator gives is part of the text, so the words that the server itself writes are looked for
    /// first, and the most careful reading wins.
    pub fn of_error(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        // `[Killed (op (spam))]`, `KILLed by op: spam`, `Killed (op (spam))`
        if has(&["[killed ", "killed by ", "killed ("]) && !has(&LINE_BANS) {
            return Self::Killed;
        }
        if has(&BAD_CREDENTIALS) {
            return Self::BadCredentials;
        }
        // A temporary Z-line for connecting too often is a ban that says "wait".
        if has(&THROTTLES) {
            return Self::Throttled;
        }
        if has(&LINE_BANS) || has(&BANS) {
            return Self::Banned;
        }
        Self::Transient
    }
}

const LINE_BANS: [&str; 12] = [
    "k-lined", "g-lined", "z-lined", "d-lined", "x-lined", "e-lined", "k-line ", "g-line", "z-line", "akill", "gzline",
    "kline",
];

const BANS: [&str; 9] = [
    "banned",
    "autokill",
    "not welcome",
    "access denied",
    "blacklist",
    "dnsbl",
    "not authorized",
    "no authorization",
    "unauthorized connection",
];

const BAD_CREDENTIALS: [&str; 7] = [
    "bad password",
    "password mismatch",
    "password incorrect",
    "invalid password",
    "wrong password",
    "sasl access only",
    "need to identify via sasl",
];

const THROTTLES: [&str; 13] = [
    "throttl",
    "too fast",
    "too many times in too short",
    "too many connections",
    "too many host connections",
    "too many user connections",
    "connection limit",
    "connections from your",
    "session limit",
    "clone",
    "server is full",
    "no more connections",
    "try again later",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_real_error_texts_say_what_to_do() {
        let table = [
            ("Closing link: (u@127.0.0.1) [Killed (op (spam))]", EndClass::Killed),
            ("KILLed by op: spam", EndClass::Killed),
            ("Closing link: (u@h) [G-lined: spam]", EndClass::Banned),
            ("Closing link: (u@h) [Z-lined: spam]", EndClass::Banned),
            ("Closing link: (u@h) [K-lined: flood]", EndClass::Banned),
            ("G-Line by \"op\": \"spam\"", EndClass::Banned),
            ("Access denied: \"spam\" (G-Line)", EndClass::Banned),
            ("Closing Link: 127.0.0.1 (K-Lined)", EndClass::Banned),
            ("Closing Link: h (*** Banned )", EndClass::Banned),
            ("You are not welcome on this network. AutoKilled for spam", EndClass::Banned),
            ("Closing Link: h (Throttled: Reconnecting too fast) -Email x@y", EndClass::Throttled),
            ("Trying to reconnect too fast.", EndClass::Throttled),
            ("Closing Link: h (Too many host connections (local))", EndClass::Throttled),
            (
                "Closing link: (u@h) [No more connections allowed from your host via this connect class (global)]",
                EndClass::Throttled,
            ),
            (
                "Closing link: (u@h) [Z-lined: Your IP range has been attempting to connect too many times in too short a duration.]",
                EndClass::Throttled,
            ),
            ("Access denied: Bad password?", EndClass::BadCredentials),
            ("Closing Link: h (SASL access only)", EndClass::BadCredentials),
            ("Closing Link: h (Ping timeout: 240 seconds)", EndClass::Transient),
            ("Request too long", EndClass::Transient),
            ("Server going down", EndClass::Transient),
            ("", EndClass::Transient),
        ];
        for (text, class) in table {
            assert_eq!(EndClass::of_error(text), class, "{text}");
        }
    }

    #[test]
    fn p8_no_number_but_the_known_few_is_fatal() {
        let fatal: Vec<u16> = (0..1000).filter(|number| matches!(meaning(*number, false), Meaning::Fatal(_))).collect();
        assert_eq!(fatal, [463, 464, 465]);
        assert_eq!(meaning(999, true), Meaning::Reply);
        assert_eq!(meaning(499, false), Meaning::Refused(RefusedBecause::NotPrivileged));
    }

    #[test]
    fn a_number_used_twice_depends_on_what_was_asked() {
        assert_eq!(meaning(ERR_NEEDREGGEDNICK, true), Meaning::Join(JoinProblem::NeedsAccount));
        assert_eq!(meaning(ERR_NEEDREGGEDNICK, false), Meaning::Refused(RefusedBecause::NeedsAccount));
        assert_eq!(meaning(ERR_NOSUCHCHANNEL, false), Meaning::Refused(RefusedBecause::NoSuchChannel));
    }

    #[test]
    fn names_are_for_logs() {
        assert_eq!(name(433), Some("ERR_NICKNAMEINUSE"));
        assert_eq!(name(998), None);
    }
}
