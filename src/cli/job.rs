//! What a command comes to: a call, and how its answer is shown.

use std::fmt;

use serde_json::{Value, json};

use super::client::{Call, Client};
use super::failure::Failure;
use super::shown::{self, Column};

/// Commands that become jobs.
pub trait Jobs {
    /// The job.
    ///
    /// # Errors
    /// Where what was written makes no sense, or a file can't be read.
    fn job(self) -> Result<Job, Failure>;
}

/// A call, and how its answer is shown.
#[derive(Debug)]
pub struct Job {
    /// The call.
    pub(super) call: Call,
    /// How its answer is shown.
    pub(super) shape: Shape,
}

/// How an answer is shown.
pub(super) enum Shape {
    /// A list with these columns: all of its pages.
    List(&'static [Column]),
    /// One thing.
    One,
    /// As it came: no JSON.
    Plain,
    /// Nothing came; this is said.
    Done(String),
    /// A list that is written otherwise.
    Written(fn(Vec<Value>) -> Result<String, Failure>),
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List(_) => "List",
            Self::One => "One",
            Self::Plain => "Plain",
            Self::Done(_) => "Done",
            Self::Written(_) => "Written",
        })
    }
}

impl Job {
    /// Shows one thing.
    pub(super) fn one(call: Call) -> Self {
        Self { call, shape: Shape::One }
    }

    /// Says what was done.
    pub(super) fn done(call: Call, said: impl Into<String>) -> Self {
        Self { call, shape: Shape::Done(said.into()) }
    }

    /// Asks; what is to be printed.
    pub(super) fn run(self, client: &Client, as_json: bool) -> Result<String, Failure> {
        match self.shape {
            Shape::List(columns) => {
                let items = pages(client, self.call)?;
                Ok(if as_json { pretty(&json!(items)) } else { shown::table(columns, &items) })
            }
            Shape::Written(write) => {
                let items = pages(client, self.call)?;
                if as_json { Ok(pretty(&json!(items))) } else { write(items) }
            }
            Shape::One => {
                let body = client.ask(&self.call)?;
                Ok(if as_json { pretty(&body) } else { shown::one(&body) })
            }
            Shape::Plain => client.text(&self.call),
            Shape::Done(said) => {
                client.ask(&self.call)?;
                Ok(if as_json { String::new() } else { format!("{said}\n") })
            }
        }
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// All pages of a list.
fn pages(client: &Client, mut call: Call) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    loop {
        let mut page = client.ask(&call)?;
        if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
            items.extend(more);
        }
        let Some(next) = page["next"].as_str() else { return Ok(items) };
        call.query.retain(|(name, _)| *name != "cursor");
        call.query.push(("cursor", next.to_owned()));
    }
}
