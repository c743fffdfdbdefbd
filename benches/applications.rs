//! A gateway with very many applications: how long it takes to start, what each of them takes of memory, and
//! how soon a change is in force. The binary itself on a store that was filled beforehand, beside one without
//! any.
//!
//! `cargo bench --bench applications [-- COUNT]`; a million where no count is given. How long a credential
//! is looked for is measured in `auth.rs`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tollgate::config::file::{self, CredentialKind};
use tollgate::control::admin::v1::first_token;
use tollgate::policy::auth::digest;
use tollgate::store::catalog::Origin;
use tollgate::store::{Store, StoreError};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const APPLICATIONS: u64 = 1_000_000;

/// Changes of each kind.
const CHANGES: u64 = 20;

/// Applications of one account.
const EACH_ACCOUNT: u64 = 10;

fn main() -> Result<()> {
    let asked = std::env::args().skip(1).find_map(|text| text.parse().ok());
    let count = asked.unwrap_or(APPLICATIONS);
    let without = Shop::of(0)?.start()?;
    let (started, resident) = (without.started, without.resident()?);
    println!("without applications: ready in {started:.2?}, {} MiB resident", resident >> 20);
    drop(without);
    let shop = Shop::of(count)?;
    let disk = shop.disk()?;
    let gateway = shop.start()?;
    let (started, with) = (gateway.started, gateway.resident()?);
    let each = with.saturating_sub(resident) / count.max(1);
    println!("with {count}: ready in {started:.2?}, {} MiB resident", with >> 20);
    println!("  {each} bytes an application with its key (32 bytes of digest, 16 of app_id)");
    gateway.expect(&key(count / 2), 200)?;
    gateway.expect("tg_nobody", 401)?;
    println!("from a call to its answer, which is when it is in force on every worker:");
    let apart = count / (2 * CHANGES + 1);
    let revoked = (1..=CHANGES).map(|n| {
        let id = n * apart;
        let took = gateway.call("DELETE", &format!("/v1/applications/{id}/keys/{id}"), "")?;
        gateway.expect(&key(id), 401)?;
        Ok(took)
    });
    tell("a key revoked", revoked.collect::<Result<_>>()?);
    let changed = (CHANGES + 1..=2 * CHANGES).map(|n| {
        let id = n * apart;
        let gold = r#"{"plan":"gold"}"#;
        let took = gateway.call("PATCH", &format!("/v1/applications/{id}"), gold)?;
        gateway.expect(&key(id), 403)?;
        Ok(took)
    });
    tell("a plan changed", changed.collect::<Result<_>>()?);
    tell("a commit of SQLite's alone, on this disk", disk);
    println!("at the end {} MiB resident", gateway.resident()? >> 20);
    Ok(())
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("  {what}: median {median:.2?}, at most {most:.2?}, of {}", times.len());
}

/// A store with so many applications, each with one key.
struct Shop {
    folder: tempfile::TempDir,
    token: String,
}

impl Shop {
    fn of(count: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("store.db");
        let words = "methods = [{ name = \"read\" }]\n\
             mapping_rules = [{ method = \"GET\", pattern = \"/\", metric = \"read\" }]\n\
             [plans.bronze]\nquotas = [{ period = \"month\", max = 10000 }]\n\
             [plans.gold]\nmethods = []\n";
        let definition: file::Product = toml::from_str(words)?;
        let store = Store::open(&path)?;
        let product =
            store.write(|records| records.put_product("shop", Origin::Api, &definition, None, 1));
        let product = product.map_err(|why: StoreError| why)?;
        let token = first_token(&store, "bench", false).map_err(|why| why.detail().to_owned())?;
        let secret = *store.secret();
        drop(store);
        let began = Instant::now();
        fill(&path, count, (product.id, product.plans["bronze"]), &secret)?;
        println!("{count} applications were stored in {:.1?}", began.elapsed());
        Ok(Self { folder, token })
    }

    /// What commits of one row take in a database of its own.
    fn disk(&self) -> Result<Vec<Duration>> {
        let other = Connection::open(self.folder.path().join("other.db"))?;
        other.pragma_update(None, "journal_mode", "wal")?;
        other.pragma_update(None, "synchronous", "full")?;
        other.execute_batch("CREATE TABLE numbers (n)")?;
        let commits = (0..CHANGES).map(|n| {
            let began = Instant::now();
            other.execute("INSERT INTO numbers VALUES (?1)", [n as i64])?;
            Ok(began.elapsed())
        });
        commits.collect()
    }

    fn start(&self) -> Result<Gateway> {
        let config = self.folder.path().join("tollgate.toml");
        let target = upstream()?;
        std::fs::write(
            &config,
            format!(
                "[server]\nworkers = 2\nwatch = false\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [access_log]\nformat = \"off\"\n[store]\npath = \"store.db\"\n\
             [[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
             [upstreams.app]\ntargets = [\"{target}\"]\n\
             [[routes]]\nname = \"shop\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n"
            ),
        )?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["run", "-c"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut gateway = Gateway {
            child,
            started: Duration::ZERO,
            web: String::new(),
            admin: String::new(),
            token: self.token.clone(),
        };
        for line in BufReader::new(out).lines() {
            let line = line?;
            if let Some(address) = line.strip_prefix("listening web ") {
                gateway.web = address.to_owned();
            } else if let Some(address) = line.strip_prefix("admin ") {
                gateway.admin = address.to_owned();
            } else if line == "ready" {
                gateway.started = began.elapsed();
                return Ok(gateway);
            }
        }
        Err("it did not start".into())
    }
}

/// Something that answers: once a connection, for as long as the process lives.
fn upstream() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            // Who is gone needs no answer.
            let _ = stream.read(&mut head).and_then(|_| {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            });
        }
    });
    Ok(address)
}

fn key(id: u64) -> String {
    format!("tg_{id:0>40}")
}

/// Rows as the admin API makes them, in one transaction: by calls it would take hours.
fn fill(path: &Path, count: u64, (product, plan): (u64, u32), secret: &[u8; 32]) -> Result<()> {
    let mut store = Connection::open(path)?;
    let change = store.transaction()?;
    {
        let mut account = change.prepare(
            "INSERT INTO accounts (id, name, state, attributes, version, created_at, updated_at)
             VALUES (?1, 'account ' || ?1, 'live', '{}', 1, 1, 1)",
        )?;
        let mut application = change.prepare(
            "INSERT INTO applications (id, account, product, plan, app_id, name, description, state,
                 attributes, version, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 'application ' || ?1, '', 'live', '{}', 1, 1, 1)",
        )?;
        let mut credential = change.prepare(
            "INSERT INTO credentials (id, application, kind, digest, hint, label, created_at)
             VALUES (?1, ?1, 'user_key', ?2, 'tg_', '', 1)",
        )?;
        for id in 1..=count {
            let owner = 1 + id / EACH_ACCOUNT;
            if id == 1 || id % EACH_ACCOUNT == 0 {
                account.execute([owner as i64])?;
            }
            let app_id = format!("{id:016x}");
            application.execute(params![id as i64, owner as i64, product as i64, plan, app_id])?;
            let known_as = (product, CredentialKind::UserKey);
            let digest = digest(secret, known_as, &[key(id).as_bytes()]);
            credential.execute(params![id as i64, digest])?;
        }
    }
    Ok(change.commit()?)
}

/// A running gateway; ends with this.
struct Gateway {
    child: Child,
    started: Duration,
    web: String,
    admin: String,
    token: String,
}

impl Gateway {
    /// Resident memory, bytes.
    fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size: u64 = line.ok_or("no size")?.trim().trim_end_matches(" kB").parse()?;
        Ok(size << 10)
    }

    /// Calls the admin API; how long the answer took.
    fn call(&self, method: &str, path: &str, body: &str) -> Result<Duration> {
        let (token, length) = (&self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let began = Instant::now();
        let answer = exchange(&self.admin, &request)?;
        let took = began.elapsed();
        match answer.starts_with("HTTP/1.1 20") {
            true => Ok(took),
            false => Err(format!("{method} {path}: {answer}").into()),
        }
    }

    /// What a client with this key is answered.
    fn expect(&self, key: &str, status: u16) -> Result<()> {
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n");
        let answer = exchange(&self.web, &request)?;
        match answer.starts_with(&format!("HTTP/1.1 {status} ")) {
            true => Ok(()),
            false => Err(format!("not {status} for {key}: {answer}").into()),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn exchange(address: &str, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
