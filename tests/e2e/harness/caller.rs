//! A client that says the same in either version, one request at a time.

use std::net::SocketAddr;

use h2::Reason;
use http::{Method, Request, Uri};

use super::http2::{Call, Http2, map};
use super::talk::{One, Talk, Version};
use super::wire::{Broken, Ends, Head, Link, Wire};
use super::{Client, Response};

/// A request to be made.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: String,
    pub path: String,
    pub host: String,
    pub fields: Vec<(String, String)>,
    /// How its content ends; a length is announced.
    pub sends: Ends,
}

impl Ask {
    /// A request without content.
    pub fn new(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, host: "test.example".into(), fields: Vec::new(), sends: Ends::None }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// With content.
    pub fn post(path: &str, sends: Ends) -> Self {
        Self { sends, ..Self::new("POST", path) }
    }

    /// With another field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// For another host.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// For HTTP/2.
    pub fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).expect("a method");
        let uri = format!("http://{}{}", self.host, self.path);
        *request.uri_mut() = uri.parse::<Uri>().expect("a target");
        let mut fields = self.fields.clone();
        if let Ends::After(n) = self.sends {
            fields.push(("content-length".to_owned(), n.to_string()));
        }
        *request.headers_mut() = map(&fields);
        request
    }

    fn text(&self) -> String {
        let Self { method, path, host, fields, sends } = self;
        let fields = lines(fields);
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{}\r\n", framing(*sends))
    }
}

/// Field lines.
pub fn lines(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// The line that says how a content ends.
pub fn framing(ends: Ends) -> String {
    match ends {
        Ends::After(n) => format!("Content-Length: {n}\r\n"),
        Ends::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        Ends::None | Ends::AtClose => String::new(),
    }
}

/// A client.
pub enum Caller {
    One(One, Progress),
    Two(Http2, Option<Call>),
}

/// Where a client of HTTP/1.1 is in its exchange.
#[derive(Debug, Default)]
pub struct Progress {
    is_head: bool,
    interim: Vec<Head>,
}

impl Caller {
    /// Connects.
    #[track_caller]
    pub fn connect(version: Version, address: SocketAddr) -> Self {
        match version {
            Version::Http1 => {
                let socket = std::net::TcpStream::connect(address).expect("a connection");
                socket.set_nodelay(true).expect("TCP_NODELAY");
                Self::on(Wire::new(Link::Tcp(socket)))
            }
            Version::Http2 => Self::Two(Http2::connect(address), None),
        }
    }

    /// The same with small buffers, so that one who does not read is soon felt.
    #[track_caller]
    pub fn connect_narrow(version: Version, address: SocketAddr) -> Self {
        match version {
            Version::Http1 => Self::on(Client::connect_narrow(address).into_wire()),
            Version::Http2 => Self::connect(version, address),
        }
    }

    fn on(wire: Wire) -> Self {
        Self::One(One::new(wire), Progress::default())
    }

    /// Sends a request's head.
    #[track_caller]
    pub fn begin(&mut self, ask: &Ask) {
        match self {
            Self::One(one, progress) => {
                one.write(ask.text().as_bytes()).expect("the gateway takes the head");
                one.sends = ask.sends;
                progress.is_head = ask.method == "HEAD";
            }
            Self::Two(http2, call) => *call = Some(http2.begin(ask).expect("a stream")),
        }
    }

    /// The content of the request under way, and of its answer.
    pub fn talk(&mut self) -> &mut dyn Talk {
        match self {
            Self::One(one, _) => one,
            Self::Two(_, call) => &mut under_way(call).two,
        }
    }

    /// The next interim head.
    pub fn interim(&mut self) -> Result<(u16, Head), Broken> {
        let head = match self {
            Self::One(one, _) => one.wire.head()?,
            Self::Two(_, call) => under_way(call).interim()?,
        };
        let status = status(&head)?;
        if status < 200 { Ok((status, head)) } else { Err(Broken::Malformed(head.start)) }
    }

    /// The final head.
    pub fn head(&mut self) -> Result<(u16, Head), Broken> {
        let (one, progress) = match self {
            Self::One(one, progress) => (one, progress),
            Self::Two(_, call) => return under_way(call).head(),
        };
        loop {
            let head = one.wire.head()?;
            let status = status(&head)?;
            if status < 200 {
                progress.interim.push(head);
                continue;
            }
            one.reads = match status {
                204 | 304 => Ends::None,
                _ if progress.is_head => Ends::None,
                _ => Ends::by(&head, Ends::AtClose)?,
            };
            return Ok((status, head));
        }
    }

    /// The whole answer.
    pub fn response(&mut self) -> Result<Response, Broken> {
        let (status, head) = self.head()?;
        let (body, trailers) = self.talk().content()?;
        let interim = match self {
            Self::One(_, progress) => std::mem::take(&mut progress.interim),
            Self::Two(_, call) => under_way(call).take_interim(),
        };
        Ok(Response { status, head, interim, body, trailers })
    }

    /// A request without content, and its answer.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> Response {
        self.begin(ask);
        self.response().expect("an answer")
    }

    /// The same with content that comes along with the head.
    #[track_caller]
    pub fn ask_at_once(&mut self, ask: &Ask, body: &[u8]) -> Response {
        match self {
            Self::One(one, _) => {
                let whole = [ask.text().as_bytes(), body].concat();
                one.write(&whole).expect("the gateway takes the request");
            }
            Self::Two(http2, call) => *call = Some(http2.begin_with(ask, body).expect("a stream")),
        }
        self.response().expect("an answer")
    }

    /// A request with this content, and its answer.
    #[track_caller]
    pub fn ask_with(&mut self, ask: &Ask, body: &[u8]) -> Response {
        self.begin(ask);
        self.talk().send(body).expect("the gateway takes the content");
        self.talk().end(&[]).expect("the gateway takes its end");
        self.response().expect("an answer")
    }

    /// Sends nothing more, and takes nothing: a reset of the connection or the stream.
    pub fn abort(self) {
        match self {
            Self::One(one, _) => one.wire.link.reset_on_close(),
            Self::Two(http2, mut call) => {
                under_way(&mut call).two.reset(Reason::CANCEL);
                // The connection outlives its stream, so that the reset is what is seen.
                http2.leave();
            }
        }
    }
}

#[track_caller]
fn under_way(call: &mut Option<Call>) -> &mut Call {
    call.as_mut().expect("a request under way")
}

fn status(head: &Head) -> Result<u16, Broken> {
    let code = head.start.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.filter(|code| (100..600).contains(code))
        .ok_or_else(|| Broken::Malformed(format!("status line {:?}", head.start)))
}
