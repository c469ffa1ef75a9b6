//! `DEBUG`, as Node's servers have it: `socket.io:*,-socket.io:client`.
//!
//! Its names are translated to places in this program that never print a payload; the engine's own lines hold tokens and stay silent.

use tracing::Level;
use tracing_subscriber::filter::Targets;

/// Where the log lines are of what `debug` knows by these names. No target is within another.
const PLACES: [(&[&str], &str); 6] = [
    (&["socket.io:server"], "ires_chat::server"),
    (&["socket.io:namespace"], "ires_chat::session"),
    (&["socket.io:client"], "ires_chat::realtime::connection"),
    (&["socket.io:socket"], "ires_chat::socket"),
    (&["socket.io-adapter"], crate::realtime::TELLING),
    (&["engine", "engine:socket", "engine:transport", "engine:ws", "engine:polling"], "ires_chat::realtime::wire"),
];

/// What `DEBUG` asks for: names separated by commas or spaces, where `*` stands for anything, and a `-` before a name leaves it out.
pub fn targets(debug: &str) -> Targets {
    let (mut included, mut excluded) = (Vec::new(), Vec::new());
    for name in debug.split([',', ' ']).filter(|name| !name.is_empty()) {
        match name.strip_prefix('-') {
            Some(name) => excluded.push(name),
            None => included.push(name),
        }
    }
    let any = |patterns: &[&str], name: &str| patterns.iter().any(|pattern| matches(pattern, name));
    let is_asked_for = |names: &[&str]| names.iter().any(|name| any(&included, name) && !any(&excluded, name));
    let asked_for = PLACES.into_iter().filter(|(names, _)| is_asked_for(names));
    asked_for.map(|(_, target)| (target, Level::DEBUG)).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(start) else { return false };
    (0..=name.len()).any(|end| name.is_char_boundary(end) && matches(rest, &name[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(debug: &str, target: &str) -> bool {
        targets(debug).would_enable(target, &Level::DEBUG)
    }

    #[test]
    fn names_patterns_and_exclusions_are_those_of_nodes_debug() {
        let (server, socket, wire) = ("ires_chat::server", "ires_chat::socket", "ires_chat::realtime::wire");
        for (debug, shown, hidden) in [
            ("socket.io:*", vec![server, socket], vec![wire]),
            ("socket.io:socket", vec![socket], vec![server, wire]),
            ("express, socket.io:s*", vec![server, socket], vec![wire]),
            ("socket.io:* -socket.io:socket", vec![server], vec![socket, wire]),
            ("engine*", vec![wire], vec![server, socket]),
            ("engine:ws", vec![wire], vec![socket]),
            ("*,-engine*", vec![server, socket, crate::realtime::TELLING], vec![wire]),
            ("*", vec![server, socket, wire], vec!["socketioxide", "engineioxide", "sqlx", "ires_chat::auth"]),
            ("socket.io", vec![], vec![server, socket, wire]),
            ("", vec![], vec![server, socket, wire]),
        ] {
            assert!(shown.iter().all(|target| shows(debug, target)), "{debug} hides something");
            assert!(!hidden.iter().any(|target| shows(debug, target)), "{debug} shows too much");
        }
    }

    #[test]
    fn nothing_is_shown_beyond_debug() {
        assert!(!targets("*").would_enable("ires_chat::socket", &Level::TRACE));
    }
}
