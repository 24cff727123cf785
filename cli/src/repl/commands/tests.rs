//! The commands as people type them.

#![allow(clippy::unwrap_used)]

use super::*;

fn parsed(line: &str) -> PromptCommand {
    PromptCommand::parse(line).unwrap()
}

#[test]
fn commands_are_understood() {
    assert_eq!(parsed("\\d"), PromptCommand::Describe(None));
    assert_eq!(parsed("\\d sales.orders;"), PromptCommand::Describe(Some("sales.orders".into())));
    assert_eq!(parsed("\\d \"my table\""), PromptCommand::Describe(Some("\"my table\"".into())));
    assert_eq!(parsed("\\dt line*"), PromptCommand::Tables(Some("line*".into())));
    assert_eq!(parsed("\\d+ orders"), PromptCommand::Describe(Some("orders".into())));
    assert_eq!(parsed("\\df"), PromptCommand::Functions(None));
    assert_eq!(parsed(" \\timing on"), PromptCommand::Timing(Some(true)));
    assert_eq!(parsed("\\x"), PromptCommand::Expanded(None));
    assert_eq!(parsed("\\x auto"), PromptCommand::Expanded(Some(Expanded::Auto)));
    assert_eq!(parsed("\\rows all"), PromptCommand::Rows(Some(RowLimit::All)));
    assert_eq!(parsed("\\rows 5"), PromptCommand::Rows(Some(RowLimit::Most(5))));
    assert_eq!(parsed("\\pset pager off"), PromptCommand::Pager(Some(false)));
    assert_eq!(
        parsed("\\set portolan.placement off"),
        PromptCommand::Set(Some(("portolan.placement".into(), "off".into())))
    );
    assert_eq!(parsed("\\plan"), PromptCommand::Plan(None));
    assert_eq!(parsed("\\plan SELECT 'a  b';"), PromptCommand::Plan(Some("SELECT 'a  b'".into())));
    for quit in ["quit", "exit;", "\\q", "\\quit"] {
        assert_eq!(parsed(quit), PromptCommand::Quit);
    }
}

#[test]
fn files_may_have_spaces_and_stand_in_the_home_folder() {
    assert_eq!(parsed("\\o"), PromptCommand::Output(None));
    assert_eq!(parsed("\\o 'my file.csv'"), PromptCommand::Output(Some("my file.csv".into())));
    assert_eq!(parsed("\\i a/b.sql"), PromptCommand::Include("a/b.sql".into()));
    assert_eq!(parsed("\\gx out.json"), PromptCommand::Go { expanded: true, file: Some("out.json".into()) });
    assert_eq!(parsed("\\g"), PromptCommand::Go { expanded: false, file: None });
    let Some(home) = std::env::home_dir() else { return };
    assert_eq!(parsed("\\o ~/x.csv"), PromptCommand::Output(Some(home.join("x.csv"))));
}

#[test]
fn a_watch_has_an_interval_and_an_end() {
    let watch = |seconds, times| PromptCommand::Watch { interval: Duration::from_secs(seconds), times };
    assert_eq!(parsed("\\watch"), watch(2, None));
    assert_eq!(parsed("\\watch 5"), watch(5, None));
    assert_eq!(parsed("\\watch 5 3"), watch(5, Some(3)));
    assert_eq!(parsed("\\watch i=4 c=2"), watch(4, Some(2)));
    assert_eq!(parsed("\\watch 0"), PromptCommand::Watch { interval: Duration::from_millis(100), times: None });
    for wrong in ["\\watch x", "\\watch -1", "\\watch 1 0", "\\watch NaN", "\\watch 1 2 3"] {
        assert!(PromptCommand::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_connection_has_a_node_and_a_user() {
    assert_eq!(parsed("\\c"), PromptCommand::Connect(None));
    assert_eq!(parsed("\\connect grpc://a:1"), PromptCommand::Connect(Some(("grpc://a:1".into(), None))));
    assert_eq!(parsed("\\c grpc://a:1 ann"), PromptCommand::Connect(Some(("grpc://a:1".into(), Some("ann".into())))));
}

#[test]
fn an_unknown_command_gets_the_nearest_only_if_it_is_near() {
    let error = |line| PromptCommand::parse(line).unwrap_err().to_string();
    let expected = "there is no command `\\timin`; did you mean `\\timing`? `\\?` lists the commands";
    assert_eq!(error("\\timin"), expected);
    assert!(error("\\wacth 5").contains("did you mean `\\watch`?"), "{}", error("\\wacth"));
    for line in ["\\h", "\\ef", "\\password", "\\encoding", "\\lo_import"] {
        assert!(!error(line).contains("did you mean"), "{}", error(line));
    }
}

#[test]
fn wrong_arguments_get_the_right_ones() {
    for line in ["\\timing maybe", "\\rows 0", "\\q now", "\\d a b", "\\i", "\\o a b", "\\o 'a", "\\dn x", "\\c a b c"]
    {
        assert!(PromptCommand::parse(line).is_err(), "{line}");
    }
    let error = PromptCommand::parse("\\timing maybe").unwrap_err().to_string();
    assert_eq!(error, "`\\timing` does not accept these arguments: expected `\\timing [on|off]`");
    assert_eq!(
        PromptCommand::parse("\\i").unwrap_err().to_string(),
        "`\\i` does not accept these arguments: expected `\\i FILE`"
    );
    assert_eq!(PromptCommand::parse("\\q now").unwrap_err().to_string(), "`\\q` does not accept arguments");
}

#[test]
fn words_that_leave_a_prompt_get_advice_in_a_statement() {
    assert_eq!(last_word("SELECT\nexit;"), Some(("SELECT", "exit")));
    assert_eq!(last_word("SELECT 1\n help \n"), Some(("SELECT 1", "help")));
    for text in ["exit", "SELECT exit", "SELECT '\nexit", "SELECT exit\nFROM t", "SELECT /*\nhelp"] {
        assert_eq!(last_word(text), None, "{text}");
    }
    assert!(advice("exit").contains("`\\q`") && advice("help").contains("`\\?`"));
}
