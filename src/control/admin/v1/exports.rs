//! `/v1/exports`: a month's usage for those who write bills, each unit in exactly one export.
//!
//! An export that was not confirmed is given again; once it is, the month's next one begins behind it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::change::Call;
use super::extract::{Path, Query};
use super::moment::Moment;
use super::paging::{List, Wish};
use super::problem::Problem;
use super::usage::moment;
use crate::limits::{EXPORT_PIECE, EXPORT_PIECES};
use crate::store::catalog::Records;
use crate::store::usage::{Export, ExportFormat};
use crate::store::{ErrorKind, Store, StoreError};

/// An export.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExportView {
    /// What it is called: month and number.
    #[schema(example = "2026-11.1")]
    cursor: String,
    month: String,
    made_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<Moment>,
    /// Rows in it.
    rows: u64,
}

impl From<Export> for ExportView {
    fn from(export: Export) -> Self {
        let Export { cursor, month, made_at, confirmed_at, rows } = export;
        let confirmed_at = confirmed_at.map(moment);
        Self { cursor, month, made_at: moment(made_at), confirmed_at, rows }
    }
}

/// An export to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewExport {
    /// By UTC.
    #[schema(pattern = "^20[0-9]{2}-(0[1-9]|1[0-2])$", example = "2026-11")]
    month: String,
}

/// Which exports.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The newest exports.
#[utoipa::path(get, path = "/exports", operation_id = "list_exports", tag = "exports",
    params(Filter), responses((status = 200, body = List<ExportView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Filter>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let limit = Wish::of("exports", None, asked.limit)?.limit;
    let exports = api.read(move |records| Ok(records.exports(limit)?)).await?;
    let items = exports.into_iter().map(ExportView::from).collect();
    Answer::shown(&List::new("exports", items, None), None)
}

/// The export of a month that is not confirmed, or a new one of what is in none. 204: there is
/// nothing that is in no export.
#[utoipa::path(post, path = "/exports", operation_id = "make_export", tag = "exports",
    request_body = NewExport,
    responses((status = 201, body = ExportView), (status = 204)))]
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let new: NewExport = call.json()?;
    if !is_month(&new.month) {
        return Err(Problem::invalid("/month", "a month is needed: 2026-11"));
    }
    api.change(call, move |change| {
        let Some((export, is_new)) = change.records.make_export(&new.month, change.now)? else {
            return Ok(Answer::gone());
        };
        let export = ExportView::from(export);
        if is_new {
            change.note("export", OBJECT, None, Some(&export))?;
        }
        let location = format!("/v1/exports/{}", export.cursor);
        Answer::made(&export, None, location)
    })
    .await
}

/// The audit log tells them by their cursors; they have no ids.
const OBJECT: (&str, u64) = ("export", 0);

fn is_month(text: &str) -> bool {
    format!("{text}-01").parse::<jiff::civil::Date>().is_ok() && text.len() == 7
}

/// One export.
#[utoipa::path(get, path = "/exports/{cursor}", operation_id = "show_export", tag = "exports",
    responses((status = 200, body = ExportView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(cursor): Path<String>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let export = api.read(move |records| of(records, &cursor)).await?;
    Answer::shown(&ExportView::from(export), None)
}

fn of(records: &dyn Records, cursor: &str) -> Result<Export, Problem> {
    records.export(cursor)?.ok_or_else(|| Problem::not_found("export"))
}

/// Notes that an export has arrived: the month's next one begins behind it.
#[utoipa::path(post, path = "/exports/{cursor}/confirm", operation_id = "confirm_export",
    tag = "exports", responses((status = 200, body = ExportView)))]
pub(super) async fn confirm(
    State(api): State<Api>,
    Path(cursor): Path<String>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    api.change(call, move |change| {
        let before = of(change.records, &cursor)?;
        let after = change.records.confirm_export(&cursor, change.now)?;
        let is_news = before != after;
        let (before, after) = (ExportView::from(before), ExportView::from(after));
        if is_news {
            change.note("confirm", OBJECT, Some(&before), Some(&after))?;
        }
        Answer::shown(&after, None)
    })
    .await
}

/// How an export is written.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// Comma-separated values with a header (RFC 4180). A text that a spreadsheet could take for a
    /// formula has a `'` before it.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// How.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    #[param(inline)]
    format: Format,
}

/// An export's rows.
#[utoipa::path(get, path = "/exports/{cursor}/rows", operation_id = "write_export",
    tag = "exports", params(Wanted),
    responses((status = 200, content((String = "text/csv"), (String = "application/jsonl")))))]
pub(super) async fn rows(
    State(api): State<Api>,
    caller: Caller,
    Path(cursor): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    caller.read_all()?;
    let (media, format) = match wanted.format {
        Format::Csv => ("text/csv; charset=utf-8", ExportFormat::Csv),
        Format::Jsonl => ("application/jsonl", ExportFormat::JsonLines),
    };
    // Whoever reads slowly holds a file, not the store.
    let file = api.with_store(move |store| spooled(store, &cursor, format)).await?;
    let (pieces, written) = mpsc::channel(EXPORT_PIECES);
    tokio::task::spawn_blocking(move || hand_over(file, &pieces));
    Ok(([(header::CONTENT_TYPE, media)], Body::new(Written(written))).into_response())
}

/// An export's rows in a file that has no name, and is gone with its last reader.
fn spooled(store: &Store, cursor: &str, format: ExportFormat) -> Result<File, Problem> {
    store.read(|records| of(records, cursor))?;
    let no_file = |why: io::Error| {
        let why = StoreError::new(ErrorKind::Disk, format!("an export can't be written: {why}"));
        Problem::from(why)
    };
    let folder = store.path().parent().unwrap_or("".as_ref());
    let folder = if folder.as_os_str().is_empty() { ".".as_ref() } else { folder };
    let mut open = OpenOptions::new();
    open.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let mut out = BufWriter::new(open.open(folder).map_err(no_file)?);
    store.write_export(cursor, format, &mut out)?;
    let mut file = out.into_inner().map_err(|why| no_file(why.into_error()))?;
    file.rewind().map_err(no_file)?;
    Ok(file)
}

/// Waits for who reads, and ends where they leave.
fn hand_over(mut file: File, pieces: &mpsc::Sender<Piece>) {
    loop {
        let mut piece = vec![0; EXPORT_PIECE];
        let read = file.read(&mut piece).map(|read| {
            piece.truncate(read);
            Bytes::from(piece)
        });
        // An error breaks the connection: half an export must not look whole.
        let is_last = read.as_ref().map_or(true, Bytes::is_empty);
        if read.as_ref().is_ok_and(Bytes::is_empty)
            || pieces.blocking_send(read).is_err()
            || is_last
        {
            return;
        }
    }
}

type Piece = io::Result<Bytes>;

/// The content that comes of it.
struct Written(mpsc::Receiver<Piece>);

impl hyper::body::Body for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
