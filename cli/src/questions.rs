//! Questions that a command asks on a terminal. In a script, the defaults are the answers.

use std::io::IsTerminal;

use dialoguer::Input;
use portolan_node::{Error, Result};

/// The questions of a command.
#[derive(Clone, Copy, Debug)]
pub struct Questions {
    is_asking: bool,
}

impl Questions {
    /// Returns the questions of a command that asks on a terminal, unless `yes` accepts every default.
    pub fn new(yes: bool) -> Self {
        Self { is_asking: !yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() }
    }

    /// True if the command asks.
    pub fn is_asking(self) -> bool {
        self.is_asking
    }

    /// Returns the value of an argument, or else the answer to a question, or else the default.
    ///
    /// # Errors
    /// No answer could be read.
    pub fn text(self, argument: Option<&str>, question: &str, default: &str) -> Result<String> {
        match argument {
            Some(argument) => Ok(argument.to_owned()),
            None if self.is_asking => {
                answered(Input::<String>::new().with_prompt(question).default(default.to_owned()).interact_text())
            }
            None => Ok(default.to_owned()),
        }
    }

    /// Returns the value of an argument, or else the answer to a question, if it is not empty.
    ///
    /// # Errors
    /// No answer could be read.
    pub fn optional(self, argument: Option<&str>, question: &str) -> Result<Option<String>> {
        if argument.is_some() || !self.is_asking {
            return Ok(argument.map(str::to_owned));
        }
        let answer = answered(Input::<String>::new().with_prompt(question).allow_empty(true).interact_text())?;
        Ok((!answer.trim().is_empty()).then_some(answer))
    }
}

fn answered(answer: dialoguer::Result<String>) -> Result<String> {
    answer.map(|answer| answer.trim().to_owned()).map_err(|error| {
        let dialoguer::Error::IO(error) = error;
        match error.kind() {
            std::io::ErrorKind::Interrupted => Error::interrupted(),
            _ => Error::failed("cannot read an answer from the terminal; `--yes` accepts the defaults")
                .with_source(error),
        }
    })
}
