//! Text to checked [`Settings`]. Pure: the text and the environment are arguments.
//!
//! The stages of [`load`], each in its file: `document` reads the text into a tree with places;
//! `environment` replaces `${NAME}`; `walk` holds the tree against the `shape` that the schema of
//! [`file`] gives it and reports every unknown key and wrong value; `deserialize` makes a [`file::File`] of what is
//! left; `check` turns it into [`Settings`] and reports what makes no sense. So one run reports
//! every mistake. This room never reads a file, resolves a name or binds an address.

pub mod acme;
mod check;
mod deserialize;
pub mod diagnostic;
mod document;
mod environment;
pub mod file;
mod forward;
mod forward_auth;
mod identity;
mod introspection;
mod jwt;
mod limit;
mod process;
mod quantity;
mod reference;
mod remark;
pub mod settings;
mod shape;
mod suggest;
pub mod template;
mod tls;
mod trail;
pub mod units;
pub mod upstream_tls;
mod walk;
mod written;

use serde::Deserialize;

pub use check::{attribute_mistakes, product_mistakes};
pub use diagnostic::{Diagnostic, Severity};
pub use forward::*;
pub use forward_auth::{AnswerCache, ForwardAuth, Input, OnError};
pub use identity::{ClientAttribute, ClientTest};
pub use introspection::Introspection;
pub use jwt::{
    ClaimTest, Dpop, Jwt, JwtAlgorithm, JwtKeys, JwtUrl, RouteAuthentication, TokenRules,
};
pub use limit::{Limit, LimitKey};
pub use reference::{reference, schema};
pub use remark::{Remark, Step, pointer};
pub use settings::*;
pub use tls::*;

use diagnostic::Report;
use document::Place;
use trail::Trail;

/// Checks a configuration: its settings with warnings, or every mistake found, in the order of
/// the file.
///
/// `origin` names the file in the diagnostics; `env` gives the value of an environment variable.
pub fn load(
    text: &str,
    origin: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Settings, Vec<Diagnostic>), Vec<Diagnostic>> {
    load_with(text, origin, env, &mut |_, _| Vec::new())
}

/// As [`load`], asking somebody who may read files for remarks too. The settings it is shown may
/// be those of a file with mistakes, where what was refused has been left out or is empty; then it
/// is told that they are not sound.
pub fn load_with(
    text: &str,
    origin: &str,
    env: &dyn Fn(&str) -> Option<String>,
    ask: &mut dyn FnMut(&Settings, bool) -> Vec<Remark>,
) -> Result<(Settings, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut report = Report::new(text, origin);
    let settings = read(text, env, ask, &mut report);
    let failed = report.has_errors();
    let diagnostics = report.into_sorted();
    match settings {
        Some(settings) if !failed => Ok((settings, diagnostics)),
        _ => Err(diagnostics),
    }
}

fn read(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    ask: &mut dyn FnMut(&Settings, bool) -> Vec<Remark>,
    report: &mut Report<'_>,
) -> Option<Settings> {
    let mut tree = document::read(text, report);
    let complete = !report.has_errors();
    environment::expand(&mut tree, &Trail::top(), env, report);
    let shape = shape::of_file();
    walk::Walk { top: shape, report, complete }.value(shape, &mut tree, &Trail::top());
    if !complete {
        // What a broken file was meant to say as a whole is anybody's guess.
        return None;
    }
    let place = Place::top(&tree);
    match file::File::deserialize(deserialize::FromNode(&tree)) {
        Ok(file) => {
            let settings = check::settings(file, &place, report);
            let sound = !report.has_errors();
            ask(&settings, sound).into_iter().for_each(|remark| remark.tell(&place, report));
            Some(settings)
        }
        Err(error) => {
            // The walk knows what serde knows, so this is not expected; but never lose a mistake.
            report.error(&place.trail, error.to_string(), "");
            None
        }
    }
}
