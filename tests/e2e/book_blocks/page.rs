//! The blocks of a page as the steps of its reader.
//!
//! A comment of HTML directly before a block says more about it than its kind does. Readers do not see the comment.
//!
//! | comment | meaning |
//! |---|---|
//! | `not run: REASON` | the block is not run |
//! | `file: NAME` | the reader saves the block as this file |
//! | `serves` | the command runs until the page ends |
//! | `fails` | the commands end with an error |
//! | `run:`, and lines of commands | no block: commands that prepare the next ones |

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// What stands before a statement that is typed at the prompt.
const PROMPT: &str = "portolan> ";

/// A step of the reader.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The line of the block on the page, from 1.
    pub line: usize,
    /// What the reader does.
    pub action: Action,
    /// What the page says that the step prints.
    pub printed: Option<String>,
}

/// What the reader does.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs commands in a shell, which end with success or not.
    Shell(String, Outcome),
    /// Runs a command in another terminal, until the page ends.
    Serve(String),
    /// Sends statements to the gateway.
    Sql(String),
    /// Runs a program in Python.
    Python(String),
    /// Compiles a program in Rust.
    Rust(String),
    /// Saves a text as a file of this name.
    Save(String, String),
}

/// How commands end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0.
    Success,
    /// With another exit code.
    Failure,
}

/// A comment before a block.
enum Mark {
    NotRun,
    File(String),
    Serves,
    Fails,
}

/// Returns the steps of a page.
///
/// # Errors
/// A block that is neither run, nor printed by the step before it, nor marked.
pub fn steps(text: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut mark, mut prints) = (vec![], None, false);
    let mut events = Parser::new(text).into_offset_iter();
    while let Some((event, range)) = events.next() {
        let line = text[..range.start].matches('\n').count() + 1;
        let located = |e: String| format!("line {line}: {e}");
        match event {
            Event::Start(Tag::HtmlBlock) => {
                let comment = content(&mut events, TagEnd::HtmlBlock);
                match comment_text(&comment).map_err(located)? {
                    Comment::Mark(next) => mark = Some(next),
                    Comment::Run(code) => {
                        prints = false;
                        steps.push(Step { line, action: Action::Shell(code, Outcome::Success), printed: None });
                    }
                }
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let code = content(&mut events, TagEnd::CodeBlock);
                match block(&kind, code, mark.take()).map_err(located)? {
                    Block::Step(action, printed) => {
                        prints = printed.is_none() && !matches!(action, Action::Save(..) | Action::Rust(_));
                        steps.push(Step { line, action, printed });
                    }
                    Block::Output(text) => match steps.last_mut() {
                        Some(step) if prints => {
                            step.printed = Some(text);
                            prints = false;
                        }
                        _ => return Err(located("no block before this one prints it".into())),
                    },
                    Block::NotRun => prints = false,
                }
            }
            // A comment is about the block that follows it at once.
            Event::Start(_) => mark = None,
            _ => {}
        }
    }
    Ok(steps)
}

/// Returns the text up to the end of an element.
fn content<'a>(events: &mut impl Iterator<Item = (Event<'a>, Range<usize>)>, end: TagEnd) -> String {
    let inner = events.map(|(event, _)| event).take_while(|event| *event != Event::End(end));
    inner
        .map(|event| match event {
            Event::Text(text) | Event::Html(text) => text.to_string(),
            _ => String::new(),
        })
        .collect()
}

enum Comment {
    Mark(Mark),
    Run(String),
}

fn comment_text(html: &str) -> Result<Comment, String> {
    let text = html.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
    let text = text.ok_or_else(|| format!("`{}` is no comment", html.trim()))?.trim();
    let (word, rest) = text.split_once(':').unwrap_or((text, ""));
    let rest = rest.trim();
    match (word, rest.is_empty()) {
        ("not run", false) => Ok(Comment::Mark(Mark::NotRun)),
        ("file", false) => Ok(Comment::Mark(Mark::File(rest.into()))),
        ("serves", true) => Ok(Comment::Mark(Mark::Serves)),
        ("fails", true) => Ok(Comment::Mark(Mark::Fails)),
        ("run", false) => Ok(Comment::Run(rest.into())),
        _ => {
            Err(format!("expected `not run: REASON`, `file: NAME`, `serves`, `fails` or `run: COMMANDS`, got `{text}`"))
        }
    }
}

enum Block {
    Step(Action, Option<String>),
    Output(String),
    NotRun,
}

fn block(kind: &CodeBlockKind<'_>, code: String, mark: Option<Mark>) -> Result<Block, String> {
    let kind = match kind {
        CodeBlockKind::Fenced(info) => info.split([',', ' ']).next().unwrap_or_default(),
        CodeBlockKind::Indented => "",
    };
    let action = match (kind, mark) {
        (_, Some(Mark::NotRun)) => return Ok(Block::NotRun),
        (_, Some(Mark::File(name))) => Action::Save(name, code),
        ("sh", Some(Mark::Serves)) => Action::Serve(code),
        ("sh", Some(Mark::Fails)) => Action::Shell(code, Outcome::Failure),
        ("sh", None) => Action::Shell(code, Outcome::Success),
        ("sql", None) => Action::Sql(code),
        ("python", None) => Action::Python(code),
        ("rust", None) => Action::Rust(code),
        ("text", None) if code.starts_with(PROMPT) => {
            let (statements, printed) = session(&code);
            return Ok(Block::Step(Action::Sql(statements), Some(printed)));
        }
        ("text" | "json" | "csv" | "yaml", None) => return Ok(Block::Output(code)),
        _ => {
            return Err(format!("a block of the kind `{kind}` cannot be run: mark it with `<!-- not run: REASON -->`"));
        }
    };
    Ok(Block::Step(action, None))
}

/// Splits a session at the prompt into what is typed and what is printed.
fn session(text: &str) -> (String, String) {
    let (mut typed, mut printed, mut is_open) = (String::new(), String::new(), false);
    for line in text.lines() {
        let start = line.strip_prefix(PROMPT);
        let Some(part) = start.or(is_open.then_some(line)) else {
            printed.push_str(&format!("{line}\n"));
            continue;
        };
        typed.push_str(&format!("{part}\n"));
        let is_command = start.is_some_and(|start| start.starts_with('\\'));
        is_open = !is_command && !part.trim_end().ends_with(';');
    }
    (typed, printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(code: &str) -> Action {
        Action::Shell(code.into(), Outcome::Success)
    }

    #[test]
    fn a_page_becomes_steps() {
        let page = "\
# A page

```sh
portolan --version
```

prints

```text
portolan …
```

<!-- not run: it takes long -->
```sh
cargo build
```

<!-- run:
printf 'a\\n' > list.csv
-->
<!-- file: node.yaml -->
```yaml
domain: sales
```

1. In a list:

   <!-- serves -->
   ```sh
   portolan serve
   ```

```text
portolan> SELECT 1 AS one,
            2 AS two;
 one │ two
portolan> \\dn
 domain
```
";
        let step = |line, action, printed: Option<&str>| Step { line, action, printed: printed.map(str::to_owned) };
        let expected = [
            step(3, shell("portolan --version\n"), Some("portolan …\n")),
            step(18, shell("printf 'a\\n' > list.csv"), None),
            step(22, Action::Save("node.yaml".into(), "domain: sales\n".into()), None),
            step(29, Action::Serve("portolan serve\n".into()), None),
            step(
                33,
                Action::Sql("SELECT 1 AS one,\n            2 AS two;\n\\dn\n".into()),
                Some(" one │ two\n domain\n"),
            ),
        ];
        assert_eq!(steps(page).as_deref(), Ok(&expected[..]));
    }

    #[test]
    fn a_block_that_is_not_run_has_a_reason() {
        for (page, expected) in [
            ("```text\nrows\n```\n", "line 1: no block before this one prints it"),
            ("x\n\n```toml\na = 1\n```\n", "line 3: a block of the kind `toml` cannot be run"),
            ("```\na\n```\n", "line 1: a block of the kind `` cannot be run"),
            ("<!-- not run: -->\n```sh\na\n```\n", "line 1: expected `not run: REASON`"),
            ("<!-- norun -->\n```sh\na\n```\n", "line 1: expected `not run: REASON`"),
            // A comment is about the next block, and not about a later one.
            ("<!-- not run: x -->\n\nText.\n\n```toml\na = 1\n```\n", "line 5: a block of the kind `toml`"),
            // What a block would print that is not run does not belong to an earlier block.
            ("```sh\na\n```\n\n<!-- not run: x -->\n```sh\nb\n```\n\n```text\nb\n```\n", "line 10: no block before"),
        ] {
            let error = steps(page).unwrap_err();
            assert!(error.starts_with(expected), "{page}\n{error}");
        }
    }
}
