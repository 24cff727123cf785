//! The line editor: colours, the end of a statement, history, completion, and the look of the prompt.

use std::borrow::Cow;
use std::error::Error;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use nu_ansi_term::{Color, Style};
use portolan_catalog::printable;
use reedline::{
    ColumnarMenu, Completer, DefaultHinter, Emacs, FileBackedHistory, Highlighter, KeyCode, KeyModifiers, MenuBuilder,
    Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline, ReedlineEvent, ReedlineMenu,
    StyledText, ValidationResult, Validator, default_emacs_keybindings,
};
use sqlparser::keywords::ALL_KEYWORDS;

use super::commands::{is_command, last_word};
use crate::lexer::{Kind, is_complete, tokens};
use crate::output::print_error;
use crate::terminal::{BLUE, GREEN, GREY, PURPLE, TEAL, has_colours};

const HISTORY_LINES: usize = 10_000;
const MENU: &str = "completion";

/// Returns a line editor for SQL. If the history file cannot be used, reports that, and the history ends with the editor.
pub fn editor(completer: Box<dyn Completer + Send>) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = vec![ReedlineEvent::Menu(MENU.into()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(complete));
    let editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_completer(completer)
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu())))
        .with_ansi_colors(has_colours(&std::io::stderr()))
        .with_highlighter(Box::new(Colours))
        .with_hinter(Box::new(DefaultHinter::default().with_style(Style::new().fg(GREY))))
        .with_validator(Box::new(Wholeness));
    let Some(file) = history_file() else { return editor };
    match history(&file) {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(error) => {
            let what = printable(&format!("cannot use the history in {}: {error}", file.display())).into_owned();
            print_error(&format!("warning: {what}\n"));
            editor
        }
    }
}

/// Returns the history in a file. A new file can be read by its user alone: statements can contain what others must not
/// see.
fn history(file: &Path) -> Result<FileBackedHistory, Box<dyn Error>> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?;
    Ok(FileBackedHistory::with_file(HISTORY_LINES, file.to_path_buf())?)
}

/// Returns the menu of completions, in the terminal's own colours.
fn menu() -> ColumnarMenu {
    ColumnarMenu::default()
        .with_name(MENU)
        .with_text_style(Style::new())
        .with_match_text_style(Style::new().underline())
        .with_description_text_style(Style::new().fg(GREY))
        .with_selected_text_style(Style::new().reverse())
        .with_selected_match_text_style(Style::new().reverse().underline())
}

/// Returns the path of the history: `portolan/history` below the user's folder for state.
fn history_file() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = given.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
    Some(state.join("portolan/history"))
}

/// True if the text can run: SQL if a semicolon ends it, and any text whose last line is a command. A word such as `quit`
/// on the last line gets an answer.
pub(super) fn is_whole(text: &str) -> bool {
    let text = text.trim();
    is_command(text) || is_complete(text) || last_word(text).is_some()
}

struct Wholeness;

impl Validator for Wholeness {
    fn validate(&self, line: &str) -> ValidationResult {
        if is_whole(line) { ValidationResult::Complete } else { ValidationResult::Incomplete }
    }
}

struct Colours;

impl Highlighter for Colours {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        for token in tokens(line) {
            let text = &line[token.range];
            let style = match token.kind {
                Kind::Word if is_keyword(text) => Style::new().fg(BLUE).bold(),
                Kind::Text => Style::new().fg(GREEN),
                Kind::Number => Style::new().fg(TEAL),
                Kind::Comment => Style::new().fg(GREY),
                Kind::Command => Style::new().fg(PURPLE),
                _ => Style::new(),
            };
            styled.push((style, text.into()));
        }
        styled
    }
}

fn is_keyword(word: &str) -> bool {
    ALL_KEYWORDS.binary_search(&word.to_uppercase().as_str()).is_ok()
}

/// The prompt before the cursor.
pub(super) struct SqlPrompt;

impl Prompt for SqlPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "portolan".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "       -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "no match for ",
        };
        format!(" (history: {failing}{}) ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        BLUE
    }

    fn get_prompt_multiline_color(&self) -> Color {
        BLUE
    }

    fn get_indicator_color(&self) -> Color {
        BLUE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_new_history_belongs_to_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portolan/history");
        drop(history(&file).unwrap());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // A history that another program has made keeps its permissions.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        drop(history(&file).unwrap());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(history(&file.join("below/a/file")).is_err());
    }

    #[test]
    fn a_line_is_whole_when_it_can_be_run() {
        for whole in [
            "",
            "\\d x",
            "SELECT 1;",
            "quit",
            "help",
            "SELECT\n1;\n",
            "SELECT 1\n\\plan",
            "SELECT 1 \\g",
            "SELECT\nexit",
        ] {
            assert!(is_whole(whole), "{whole}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT '\nquit", "SELECT quit", "SELECT '\n\\x"] {
            assert!(!is_whole(open), "{open}");
        }
    }

    #[test]
    fn colours_change_no_text() {
        for line in ["SELECT 'a' FROM \"b\" -- c", "\\d", "sélect 1.5 \\gx"] {
            assert_eq!(Colours.highlight(line, 0).raw_string(), line);
        }
    }
}
