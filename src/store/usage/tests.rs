use super::*;
use crate::config::file::Period;
use crate::policy::quota::Key;
use crate::store::catalog::Origin;
use crate::store::{ErrorKind, Store, StoreError};

/// 2026-11-01, 00:00 UTC.
const NOVEMBER: u64 = 1_793_491_200;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

struct Bench {
    store: Store,
    _folder: tempfile::TempDir,
}

/// A product with `hits` (1) and `list` (2), and two applications (1, 2) of one account.
fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("store.db")).expect("a store");
    store.connection().execute_batch(ROWS).expect("rows");
    Bench { store, _folder: folder }
}

const ROWS: &str =
    "INSERT INTO products (id, name, origin, definition, secret, version, created_at, updated_at)
                 VALUES (1, 'orders', 'api', '{}', '', 1, 0, 0);
             INSERT INTO metrics (id, product, name) VALUES (1, 1, 'hits'), (2, 1, 'list');
             INSERT INTO plans (id, product, name) VALUES (1, 1, 'gold');
             INSERT INTO accounts (id, name, state, attributes, version, created_at, updated_at)
                 VALUES (1, 'Example, Inc.', 'live', '{}', 1, 0, 0);
             INSERT INTO applications (id, account, product, plan, app_id, name, description, state,
                     attributes, version, created_at, updated_at)
                 VALUES (1, 1, 1, 1, 'a1', 'shop', '', 'live', '{}', 1, 0, 0),
                        (2, 1, 1, 1, 'a2', 'till', '', 'live', '{}', 1, 0, 0);
             INSERT INTO credentials (id, application, kind, digest, hint, label, created_at)
                 VALUES (5, 1, 'user_key', x'00', '', '', 0);";

impl Bench {
    fn used(&self, application: u64, metric: u32, class: u8, hour: u64, count: u64) {
        self.used_by(1, application, metric, (class, hour, count));
    }

    fn used_by(&self, plan: u32, application: u64, metric: u32, of: (u8, u64, u64)) {
        let (class, hour, count) = of;
        let used = vec![Used { application, plan, metric, class, hour, count }];
        self.store.commit_usage(&Batch { used, ..Batch::default() }).expect("committed");
    }

    fn usage(&self, query: UsageQuery) -> Vec<UsageRow> {
        self.store.usage(&query).expect("an answer")
    }

    fn live(&self, now_s: u64) -> Vec<Counted> {
        let mut all = Vec::new();
        self.store.live_counts(now_s, |counted| all.push(counted)).expect("counts");
        all
    }

    fn make(&self) -> Option<Export> {
        let made = self.store.write(|r| r.make_export("2026-11", NOVEMBER as i64));
        made.expect("an answer").map(|(export, _)| export)
    }

    fn confirm(&self, cursor: &str, at: u64) -> Result<Export, StoreError> {
        self.store.write(|r| r.confirm_export(cursor, at as i64))
    }

    fn text(&self, cursor: &str, format: ExportFormat) -> String {
        let mut out = Vec::new();
        self.store.write_export(cursor, format, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }
}

fn november() -> UsageQuery {
    UsageQuery { from: NOVEMBER, to: NOVEMBER + 30 * DAY, limit: 100, ..UsageQuery::default() }
}

fn counted(holder: u64, period: Period, ends_at: u64, count: u64) -> Counted {
    Counted { key: Key { holder, metric: 1, period }, ends_at, count }
}

#[test]
fn batches_add_up_and_counts_never_fall() {
    let bench = bench();
    bench.used(1, 1, 2, NOVEMBER, 3);
    bench.used(1, 1, 2, NOVEMBER, 4);
    let rows = bench.usage(november());
    assert_eq!((rows.len(), rows[0].count), (1, 7));
    let of = |count| Batch {
        counted: vec![counted(1, Period::Month, NOVEMBER + 30 * DAY, count)],
        seen: vec![Seen { credential: 5, at: count }],
        ..Batch::default()
    };
    for count in [10, 8] {
        bench.store.commit_usage(&of(count)).expect("committed");
    }
    assert_eq!(bench.live(NOVEMBER), of(10).counted);
    let query = "SELECT last_used_at FROM credentials WHERE id = 5";
    let at: i64 = bench.store.reader().query_row(query, [], |row| row.get(0)).expect("a row");
    assert_eq!(at, 10);
}

#[test]
fn addresses_are_holders_too() {
    let bench = bench();
    let holder = crate::policy::quota::address_holder(1, [192, 0, 2, 7].into(), 64);
    let batch = Batch { counted: vec![counted(holder, Period::Day, DAY, 1)], ..Batch::default() };
    bench.store.commit_usage(&batch).expect("committed");
    assert_eq!(bench.live(1), batch.counted);
}

#[test]
fn the_count_of_the_present_period_is_taken_up() {
    let bench = bench();
    let now = NOVEMBER + DAY;
    let present = counted(1, Period::Day, NOVEMBER + 2 * DAY, 5);
    let all = vec![
        counted(1, Period::Day, NOVEMBER + DAY, 99),
        present,
        // A clock that was wrong by a year.
        counted(1, Period::Day, NOVEMBER + 365 * DAY, 2),
        counted(2, Period::Day, NOVEMBER + 364 * DAY, 3),
        counted(2, Period::Day, NOVEMBER + 365 * DAY, 4),
    ];
    let last = all[4];
    bench.store.commit_usage(&Batch { counted: all, ..Batch::default() }).expect("committed");
    assert_eq!(bench.live(now), [present, last]);
    assert_eq!(bench.store.forget_counts(NOVEMBER + 2 * DAY).expect("forgotten"), 0);
    assert_eq!(bench.store.forget_counts(NOVEMBER + 3 * DAY).expect("forgotten"), 1);
}

#[test]
fn usage_by_hour_day_month_application_metric_and_class() {
    let bench = bench();
    bench.used(1, 1, 2, NOVEMBER, 10);
    bench.used(1, 2, 2, NOVEMBER, 4);
    bench.used(1, 1, 5, NOVEMBER + HOUR, 2);
    bench.used(2, 1, 4, NOVEMBER + DAY, 6);
    bench.used(2, 1, 2, NOVEMBER - DAY, 8);
    let hits = || UsageQuery { metric: Some("hits".into()), ..november() };
    let counts = |query| bench.usage(query).iter().map(|row| row.count).collect::<Vec<_>>();
    assert_eq!(counts(UsageQuery { grain: Some(Grain::Hour), ..hits() }), [10, 2, 6]);
    assert_eq!(counts(UsageQuery { grain: Some(Grain::Day), ..hits() }), [12, 6]);
    let months = UsageQuery { grain: Some(Grain::Month), from: 0, ..hits() };
    let months: Vec<_> = bench.usage(months).iter().map(|row| (row.at, row.count)).collect();
    assert_eq!(months, [(Some(NOVEMBER - 31 * DAY), 8), (Some(NOVEMBER), 18)]);
    assert_eq!(counts(UsageQuery { by: vec![Group::Class], ..hits() }), [10, 6, 2]);
    assert_eq!(counts(UsageQuery { by: vec![Group::Product], ..hits() }), [18]);
    let metrics = UsageQuery { by: vec![Group::Metric], application: Some(1), ..november() };
    let metrics: Vec<_> = bench
        .usage(metrics)
        .into_iter()
        .map(|row| (row.metric.expect("a name"), row.count))
        .collect();
    assert_eq!(metrics, [("hits".into(), 12), ("list".into(), 4)]);
    assert_eq!(counts(UsageQuery { account: Some(9), ..hits() }), [0; 0]);
    assert_eq!(counts(UsageQuery { account: Some(1), class: Some(4), ..hits() }), [6]);
}

#[test]
fn busiest_hours_top_applications_trends_and_error_shares() {
    let bench = bench();
    bench.used(1, 1, 2, NOVEMBER, 10);
    bench.used(2, 1, 2, NOVEMBER + HOUR, 20);
    bench.used(2, 1, 5, NOVEMBER + HOUR, 1);
    bench.used(1, 1, 4, NOVEMBER + 2 * HOUR, 5);
    bench.used(1, 1, 2, NOVEMBER - HOUR, 7);
    let most = UsageQuery { order: Order::Most, ..november() };
    let busiest = UsageQuery { grain: Some(Grain::Hour), limit: 1, ..most.clone() };
    assert_eq!(bench.usage(busiest)[0].at, Some(NOVEMBER + HOUR));
    let top = UsageQuery { by: vec![Group::Application], ..most };
    let rows = bench.usage(top.clone());
    let of = |row: &UsageRow| {
        (row.application, row.count, row.before, row.client_errors, row.server_errors)
    };
    assert_eq!(
        rows.iter().map(of).collect::<Vec<_>>(),
        [(Some(2), 21, 0, 0, 1), (Some(1), 15, 7, 5, 0),]
    );
    assert_eq!(bench.usage(UsageQuery { skip: 1, ..top.clone() })[0].application, Some(1));
    let errors = bench.usage(UsageQuery { order: Order::Errors, ..top });
    assert_eq!(errors[0].application, Some(1));
}

#[test]
fn hours_become_days_and_nothing_is_lost_or_counted_twice() {
    let bench = bench();
    for hour in 0..48 {
        bench.used(1, 1, 2, NOVEMBER + hour * HOUR, 1);
    }
    let day = UsageQuery { grain: Some(Grain::Day), ..november() };
    let before = bench.usage(day.clone());
    // In the middle of the second day: that one keeps its hours.
    assert_eq!(bench.store.roll_up(NOVEMBER + DAY + 5 * HOUR).expect("rolled up"), 24);
    assert_eq!(bench.usage(day.clone()), before);
    let hours = bench.usage(UsageQuery { grain: Some(Grain::Hour), ..november() });
    assert_eq!((hours.len(), hours[0].at), (24, Some(NOVEMBER + DAY)));
    // Late usage of a day that was rolled up.
    bench.used(1, 1, 2, NOVEMBER, 5);
    bench.store.roll_up(NOVEMBER + DAY).expect("rolled up");
    assert_eq!(bench.usage(day).iter().map(|row| row.count).collect::<Vec<_>>(), [29, 24]);
}

#[test]
fn an_export_holds_each_unit_once() {
    let bench = bench();
    let make = || bench.make();
    assert_eq!(make(), None);
    bench.used(1, 1, 2, NOVEMBER, 10);
    bench.used(2, 1, 0, NOVEMBER, 3);
    bench.used(1, 1, 2, NOVEMBER - HOUR, 99);
    let first = make().expect("usage");
    assert_eq!((first.cursor.as_str(), first.rows), ("2026-11.1", 2));
    let lines = bench.text(&first.cursor, ExportFormat::JsonLines);
    // More is committed and rolled up meanwhile: the export stays what it was until it is confirmed.
    bench.used(1, 1, 2, NOVEMBER, 5);
    bench.store.roll_up(NOVEMBER + DAY).expect("rolled up");
    assert_eq!(make(), Some(first.clone()));
    assert_eq!(bench.text(&first.cursor, ExportFormat::JsonLines), lines);
    bench.confirm(&first.cursor, NOVEMBER + 1).expect("confirmed");
    let unknown = bench.confirm("2026-11.9", NOVEMBER).expect_err("refused");
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    let second = make().expect("what came late");
    assert_eq!((second.cursor.as_str(), second.rows), ("2026-11.2", 1));
    assert!(bench.text(&second.cursor, ExportFormat::JsonLines).contains("\"count\":5}"));
    bench.confirm(&second.cursor, NOVEMBER + 2).expect("confirmed");
    assert_eq!(make(), None);
    let all = bench.store.read(|r| r.exports(10)).expect("exports");
    assert_eq!(all.iter().map(|export| export.rows).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(all[1].confirmed_at, Some(NOVEMBER + 1));
    let again = bench.confirm(&first.cursor, NOVEMBER + 9).expect("confirmed");
    assert_eq!(again, all[1]);
    for wrong in ["2026", "2026-13", "2026-1", "", "9999-12-01"] {
        assert!(bench.store.write(|r| r.make_export(wrong, 0)).is_err(), "{wrong}");
    }
}

#[test]
fn usage_is_billed_by_the_plan_that_let_it_in() {
    let bench = bench();
    let other = "INSERT INTO plans (id, product, name) VALUES (2, 1, 'free')";
    bench.store.connection().execute_batch(other).expect("a row");
    // Another plan in the middle of an hour; it has gold now.
    bench.used_by(2, 1, 1, (2, NOVEMBER, 10));
    bench.used_by(1, 1, 1, (2, NOVEMBER, 4));
    let rows = bench.usage(UsageQuery { by: vec![Group::Application], ..november() });
    assert_eq!(rows.iter().map(|row| row.count).collect::<Vec<_>>(), [14]);
    let first = bench.make().expect("usage");
    let head = "month,account,account_name,application,app_id,application_name,product,plan,metric_id,metric,status,count\n";
    let row = |plan: &str, count: u64| {
        format!("2026-11,1,\"Example, Inc.\",1,a1,shop,orders,{plan},1,hits,2xx,{count}\n")
    };
    let text = bench.text(&first.cursor, ExportFormat::Csv);
    assert_eq!(text, format!("{head}{}{}", row("gold", 4), row("free", 10)));
    bench.confirm(&first.cursor, NOVEMBER).expect("confirmed");
    // Nor when hours become days, and when the plan is gone.
    bench.store.roll_up(NOVEMBER + DAY).expect("rolled up");
    assert_eq!(bench.make(), None);
    let definition = toml::from_str("metrics = []\n[plans.gold]").expect("a product");
    let put = bench.store.write(|r| r.put_product("orders", Origin::Api, &definition, None, 1));
    put.expect("without the plan");
    bench.used_by(2, 1, 1, (2, NOVEMBER, 1));
    let second = bench.make().expect("what came late");
    let text = bench.text(&second.cursor, ExportFormat::Csv);
    assert_eq!(text, format!("{head}{}", row("free", 1)));
}

#[test]
fn what_was_billed_before_plans_were_kept_is_billed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    crate::store::schema::old(&path, 6);
    let old = format!(
        "{ROWS}
         INSERT INTO usage_hours VALUES (1, 1, 2, {NOVEMBER}, 10), (2, 1, 2, {NOVEMBER}, 3);
         INSERT INTO usage_days VALUES (1, 1, 2, {NOVEMBER}, 5);
         INSERT INTO exports VALUES (1, '2026-11.1', '2026-11', 0, 0, 1);
         INSERT INTO export_rows (month, application, metric, class, export, count, plan)
             VALUES ('2026-11', 1, 1, 2, 1, 15, 'free');"
    );
    rusqlite::Connection::open(&path).and_then(|c| c.execute_batch(&old)).expect("old rows");
    let bench = Bench { store: Store::open(&path).expect("a store"), _folder: folder };
    assert_eq!(bench.usage(november())[0].count, 18);
    assert!(bench.text("2026-11.1", ExportFormat::Csv).ends_with(",free,1,,2xx,15\n"));
    // An old gateway that drains beside this one knows no plans.
    let late = format!(
        "INSERT INTO usage_hours (application, metric, class, hour, count)
         VALUES (1, 1, 2, {NOVEMBER}, 2) ON CONFLICT DO UPDATE SET count = count + excluded.count"
    );
    bench.store.connection().execute_batch(&late).expect("written");
    bench.used(1, 1, 2, NOVEMBER, 7);
    let made = bench.make().expect("the rest");
    let text = bench.text(&made.cursor, ExportFormat::Csv);
    let counts: Vec<_> = text.lines().skip(1).map(|line| line.rsplit(',').next()).collect();
    // By application; of the first one what no plan is known of, and what gold let in.
    assert_eq!(counts, [Some("2"), Some("7"), Some("3")], "{text}");
    assert_eq!(text.matches(",gold,").count(), 3, "{text}");
}

#[test]
fn exports_are_csv_and_json_lines() {
    let bench = bench();
    bench.used(1, 1, 2, NOVEMBER, 10);
    // Nobody in particular; and what never had a name.
    bench.used(0, 2, 4, NOVEMBER, 1);
    bench.used_by(98, 77, 99, (0, NOVEMBER, 3));
    let made = bench.make().expect("usage");
    assert_eq!(
        bench.text(&made.cursor, ExportFormat::Csv),
        "month,account,account_name,application,app_id,application_name,product,plan,metric_id,metric,status,count\n\
         2026-11,,,0,,,orders,gold,2,list,4xx,1\n\
         2026-11,1,\"Example, Inc.\",1,a1,shop,orders,gold,1,hits,2xx,10\n\
         2026-11,,,77,,,,,99,,none,3\n"
    );
    let lines = bench.text(&made.cursor, ExportFormat::JsonLines);
    let first = lines.lines().nth(1).expect("a line");
    let first: serde_json::Value = serde_json::from_str(first).expect("JSON");
    assert_eq!((&first["account_name"], &first["count"]), (&"Example, Inc.".into(), &10.into()));
    assert_eq!(lines.lines().count(), 3);
}

#[test]
fn names_in_csv_are_no_formulas() {
    let bench = bench();
    bench.used(1, 1, 2, NOVEMBER, 10);
    let renamed = "UPDATE accounts SET name = '=cmd|''/c calc''!A0';
                   UPDATE applications SET name = '＝1+1', app_id = '-2' WHERE id = 1;";
    bench.store.connection().execute_batch(renamed).expect("renamed");
    let made = bench.make().expect("usage");
    let csv = bench.text(&made.cursor, ExportFormat::Csv);
    let row = "\n2026-11,1,'=cmd|'/c calc'!A0,1,'-2,'＝1+1,orders,gold,1,hits,2xx,10\n";
    assert!(csv.ends_with(row), "{csv}");
    let lines = bench.text(&made.cursor, ExportFormat::JsonLines);
    assert!(lines.contains("\"account_name\":\"=cmd|") && lines.contains("\"app_id\":\"-2\""));
}

#[test]
fn a_bill_names_those_that_were_deleted_since() {
    let bench = bench();
    bench.used(1, 1, 2, NOVEMBER, 10);
    bench.used(2, 2, 2, NOVEMBER, 4);
    bench.store.write(|r| r.delete_application(2, None)).expect("deleted");
    // Its last request was answered when it was gone already.
    bench.used(2, 1, 2, NOVEMBER, 1);
    let first = bench.make().expect("usage");
    let written = "month,account,account_name,application,app_id,application_name,product,plan,metric_id,metric,status,count\n\
                   2026-11,1,\"Example, Inc.\",1,a1,shop,orders,gold,1,hits,2xx,10\n\
                   2026-11,1,\"Example, Inc.\",2,a2,till,orders,gold,1,hits,2xx,1\n\
                   2026-11,1,\"Example, Inc.\",2,a2,till,orders,gold,2,list,2xx,4\n";
    assert_eq!(bench.text(&first.cursor, ExportFormat::Csv), written);
    // The account goes with its applications, and then the product.
    bench.store.write(|r| r.delete_account(1, None)).expect("deleted");
    bench.store.write(|r| r.delete_product(1, Origin::Api, None)).expect("deleted");
    assert_eq!(bench.text(&first.cursor, ExportFormat::Csv), written);
    bench.confirm(&first.cursor, NOVEMBER).expect("confirmed");
    bench.used(1, 2, 5, NOVEMBER, 7);
    let second = bench.make().expect("usage");
    let row = "2026-11,1,\"Example, Inc.\",1,a1,shop,orders,gold,2,list,5xx,7\n";
    assert!(bench.text(&second.cursor, ExportFormat::Csv).ends_with(row));
}

#[test]
fn names_of_those_that_used_nothing_are_forgotten_some_day() {
    let bench = bench();
    bench.used(1, 1, 2, NOVEMBER, 1);
    bench.store.write(|r| r.delete_account(1, None)).expect("deleted");
    assert_eq!(bench.store.forget_names(1).expect("forgotten"), 0);
    assert_eq!(bench.store.forget_names(u64::MAX >> 1).expect("forgotten"), 1);
    assert_eq!(bench.store.forget_names(u64::MAX >> 1).expect("forgotten"), 0);
    let made = bench.make().expect("usage");
    assert!(bench.text(&made.cursor, ExportFormat::Csv).contains(",a1,shop,"));
}

#[test]
fn a_batch_that_can_not_be_stored_is_not_stored_in_part() {
    let bench = bench();
    bench.store.connection().pragma_update(None, "query_only", true).expect("set");
    let batch = Batch {
        used: vec![Used { application: 1, plan: 1, metric: 1, class: 2, hour: NOVEMBER, count: 1 }],
        counted: vec![counted(1, Period::Day, NOVEMBER + DAY, 1)],
        given_back: Vec::new(),
        seen: Vec::new(),
    };
    assert!(bench.store.commit_usage(&batch).is_err());
    bench.store.connection().pragma_update(None, "query_only", false).expect("set");
    assert!(bench.usage(november()).is_empty() && bench.live(NOVEMBER).is_empty());
    bench.store.commit_usage(&batch).expect("committed");
    assert_eq!(bench.usage(november())[0].count, 1);
}
