//! Usage of a month for those who write bills: each unit exactly once.
//!
//! An export holds what was committed of its month and is in no earlier export. It is made once: until
//! it is confirmed, asking for the month's export again gives the same one, so that a caller that was
//! cut off loses nothing and bills nothing twice. After that the next one holds what was committed
//! since. Its rows are kept, since they tell what was billed.

use std::io::Write;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::store::catalog::Sqlite;
use crate::store::{ErrorKind, Store, StoreError};

/// An export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// What it is called: month and number, `2026-11.1`.
    pub cursor: String,
    /// `2026-11`, by UTC.
    pub month: String,
    /// Seconds since 1970.
    pub made_at: u64,
    /// When it was confirmed.
    pub confirmed_at: Option<u64>,
    /// Rows in it.
    pub rows: u64,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values, with a header (RFC 4180). A text that a spreadsheet could take for a
    /// formula has a `'` before it.
    Csv,
    /// An object a line.
    JsonLines,
}

/// A row as it is written. Names are those of the moment in which the export was made, or in which
/// what they name was deleted.
#[derive(Serialize)]
struct Line {
    month: String,
    account: Option<u64>,
    account_name: Option<String>,
    application: u64,
    app_id: Option<String>,
    application_name: Option<String>,
    product: Option<String>,
    plan: Option<String>,
    metric_id: u32,
    metric: Option<String>,
    /// `2xx`; `none`: no status was sent.
    status: String,
    count: u64,
}

/// What makes a formula of a cell, in narrow and full width.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

impl Line {
    /// With texts that no spreadsheet takes for formulas: customers choose names too (OWASP, CSV
    /// injection).
    fn inert(mut self) -> Self {
        let Self { account_name, app_id, application_name, product, plan, metric, .. } = &mut self;
        let texts = [account_name, app_id, application_name, product, plan, metric];
        for text in texts.into_iter().flatten().filter(|text| text.starts_with(FORMULA)) {
            text.insert(0, '\'');
        }
        self
    }
}

/// Exports of months.
pub trait Exports {
    /// The export of this cursor.
    fn export(&self, cursor: &str) -> Result<Option<Export>, StoreError>;

    /// The newest exports.
    fn exports(&self, limit: usize) -> Result<Vec<Export>, StoreError>;

    /// The export of a month (`2026-11`) that is not confirmed; where there is none, one is made, and
    /// that is `true`. `None`: nothing was used that is in no export.
    ///
    /// # Errors
    /// `NotFound` where this is no month.
    fn make_export(&self, month: &str, now: i64) -> Result<Option<(Export, bool)>, StoreError>;

    /// Notes that an export has arrived: the month's next one begins behind it. Confirming it again
    /// changes nothing.
    ///
    /// # Errors
    /// `NotFound`.
    fn confirm_export(&self, cursor: &str, now: i64) -> Result<Export, StoreError>;
}

const EXPORT: &str = "SELECT cursor, month, made_at, confirmed_at, rows FROM exports";

impl Exports for Sqlite<'_> {
    fn export(&self, cursor: &str) -> Result<Option<Export>, StoreError> {
        let query = format!("{EXPORT} WHERE cursor = ?1");
        Ok(self.connection.query_row(&query, [cursor], export).optional()?)
    }

    fn exports(&self, limit: usize) -> Result<Vec<Export>, StoreError> {
        let mut query = self.connection.prepare(&format!("{EXPORT} ORDER BY id DESC LIMIT ?1"))?;
        let rows = query.query_map([limit as i64], export)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn make_export(&self, month: &str, now: i64) -> Result<Option<(Export, bool)>, StoreError> {
        let bounds = bounds(month)
            .ok_or_else(|| StoreError::new(ErrorKind::NotFound, "this is no month (`2026-11`)"))?;
        let open = format!("{EXPORT} WHERE month = ?1 AND confirmed_at IS NULL");
        if let Some(open) = self.connection.query_row(&open, [month], export).optional()? {
            return Ok(Some((open, false)));
        }
        let made = fill(self.connection, month, bounds, now)?;
        Ok(made.map(|made| (made, true)))
    }

    fn confirm_export(&self, cursor: &str, now: i64) -> Result<Export, StoreError> {
        let query =
            "UPDATE exports SET confirmed_at = coalesce(confirmed_at, ?2) WHERE cursor = ?1";
        self.connection.execute(query, (cursor, now))?;
        self.export(cursor)?.ok_or_else(|| StoreError::not_found("the export"))
    }
}

impl Store {
    /// Writes an export's rows: the same each time.
    ///
    /// # Errors
    /// Where the store can't be read, or `out` takes no more.
    pub fn write_export(
        &self,
        cursor: &str,
        format: ExportFormat,
        out: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let connection = self.reports();
        let mut query = connection.prepare(
            "SELECT r.month, r.account, r.account_name, r.application, r.app_id,
                 r.application_name, r.product, r.plan, r.metric, r.metric_name, r.class, r.count
             FROM export_rows r JOIN exports e ON e.id = r.export
             WHERE e.cursor = ?1 ORDER BY r.application, r.plan_id, r.metric, r.class",
        )?;
        let lines = query.query_map([cursor], line)?.map(|line| Ok(line?));
        match format {
            ExportFormat::Csv => write_csv(lines, out),
            ExportFormat::JsonLines => write_json(lines, out),
        }
    }
}

/// Makes an export of what is in none.
fn fill(
    change: &Connection,
    month: &str,
    (from, to): (i64, i64),
    now: i64,
) -> Result<Option<Export>, StoreError> {
    let before: i64 =
        change.query_row("SELECT count(*) FROM exports WHERE month = ?1", [month], |row| {
            row.get(0)
        })?;
    let cursor = format!("{month}.{}", before + 1);
    change.execute(
        "INSERT INTO exports (cursor, month, made_at, rows) VALUES (?1, ?2, ?3, 0)",
        (&cursor, month, now),
    )?;
    let id = change.last_insert_rowid();
    let rows = change.execute(
        "INSERT INTO export_rows (month, application, plan_id, metric, class, export, count)
         SELECT ?1, u.application, u.plan, u.metric, u.class, ?2, sum(u.count) - coalesce(
             (SELECT sum(r.count) FROM export_rows r WHERE r.month = ?1
              AND r.application = u.application AND r.plan_id = u.plan AND r.metric = u.metric
              AND r.class = u.class), 0) AS more
         FROM (SELECT application, plan, metric, class, count FROM usage_hours
               WHERE hour >= ?3 AND hour < ?4
               UNION ALL SELECT application, plan, metric, class, count FROM usage_days
               WHERE day >= ?3 AND day < ?4) AS u
         GROUP BY u.application, u.plan, u.metric, u.class HAVING more > 0",
        (month, id, from, to),
    )?;
    if rows == 0 {
        change.execute("DELETE FROM exports WHERE id = ?1", [id])?;
        return Ok(None);
    }
    // Their names too: an export says the same for ever, whoever is renamed or deleted.
    change.execute(
        "UPDATE export_rows SET
             (account, account_name, app_id, application_name, plan) =
                 (SELECT account, account_name, app_id, name, plan
                  FROM billed_applications WHERE id = application),
             (product, metric_name) =
                 (SELECT product, name FROM billed_metrics WHERE id = metric)
         WHERE export = ?1",
        [id],
    )?;
    // Where it is not known which plan let something in, it is the one that its application has.
    change.execute(
        "UPDATE export_rows SET plan = (SELECT name FROM billed_plans WHERE id = plan_id)
         WHERE export = ?1 AND plan_id > 0",
        [id],
    )?;
    change.execute("UPDATE exports SET rows = ?2 WHERE id = ?1", (id, rows as i64))?;
    let (month, made_at) = (month.to_owned(), now.unsigned_abs());
    Ok(Some(Export { cursor, month, made_at, confirmed_at: None, rows: rows as u64 }))
}

/// A month's beginning and end.
fn bounds(month: &str) -> Option<(i64, i64)> {
    let first: Date = (month.len() == 7).then(|| format!("{month}-01").parse().ok())??;
    let next = first.checked_add(1.month()).ok()?;
    let second = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second());
    Some((second(first)?, second(next)?))
}

fn export(row: &Row<'_>) -> rusqlite::Result<Export> {
    Ok(Export {
        cursor: row.get(0)?,
        month: row.get(1)?,
        made_at: row.get::<_, i64>(2)? as u64,
        confirmed_at: row.get::<_, Option<i64>>(3)?.map(|at| at as u64),
        rows: row.get::<_, i64>(4)? as u64,
    })
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        month: row.get(0)?,
        account: row.get::<_, Option<i64>>(1)?.map(|id| id as u64),
        account_name: row.get(2)?,
        application: row.get::<_, i64>(3)? as u64,
        app_id: row.get(4)?,
        application_name: row.get(5)?,
        product: row.get(6)?,
        plan: row.get(7)?,
        metric_id: row.get(8)?,
        metric: row.get(9)?,
        status: match row.get::<_, u8>(10)? {
            0 => "none".into(),
            class => format!("{class}xx"),
        },
        count: row.get::<_, i64>(11)? as u64,
    })
}

fn write_csv(
    lines: impl Iterator<Item = Result<Line, StoreError>>,
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let mut writer = csv::Writer::from_writer(out);
    for line in lines {
        writer.serialize(line?.inert()).map_err(unwritten)?;
    }
    writer.flush().map_err(unwritten)
}

fn write_json(
    lines: impl Iterator<Item = Result<Line, StoreError>>,
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    for line in lines {
        serde_json::to_writer(&mut *out, &line?).map_err(unwritten)?;
        out.write_all(b"\n").map_err(unwritten)?;
    }
    Ok(())
}

fn unwritten(error: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Disk, format!("the export can't be written: {error}"))
}
