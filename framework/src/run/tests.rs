use super::command::{Command, Verb};

#[test]
fn arguments_are_read() {
    let parse = |text: &str| Command::parse(text.split_whitespace().map(str::to_owned));
    let command = |verb, config: &str| Some(Command { verb, config: config.into() });
    assert_eq!(parse(""), command(Verb::Run, "bridge.yaml"));
    assert_eq!(parse("run -c x.yaml"), command(Verb::Run, "x.yaml"));
    assert_eq!(parse("--config x.yaml check"), command(Verb::Check, "x.yaml"));
    assert_eq!(parse("registration"), command(Verb::Registration, "bridge.yaml"));
    for wrong in ["--help", "run --config", "fly", "check --fast"] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}
