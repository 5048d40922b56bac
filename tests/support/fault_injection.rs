//! A layer between the exporter and a simulated provider that spoils connections and answers: as a test says for
//! each request, or by chance with a seed. Speaks HTTP byte by byte, since no server library sends what is
//! wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use push_exporter::simulator::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What becomes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is sent as it is.
    None,
    /// The connection is reset when the request has been read.
    ResetBefore,
    /// … in the middle of the answer.
    ResetInside,
    /// … behind the answer.
    ResetAfter,
    /// Nothing comes.
    StallHeaders,
    /// The head and half of the body come.
    StallBody,
    /// A byte a second comes.
    Drip,
    /// Something else is answered.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Half of the body is all of it.
    Truncated,
    /// The body is empty.
    Empty,
    /// The body is called something else than JSON.
    ContentType(&'static str),
    /// The head promises more than comes before the connection is closed.
    LessThanSaid,
    /// The head promises less than comes.
    MoreThanSaid,
}

impl Fault {
    /// Another answer.
    pub fn answer(status: u16, body: &str) -> Fault {
        Fault::Answer(status, Vec::new(), body.to_owned())
    }
}

/// Whether anybody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Connections are taken.
    Yes,
    /// Connections are refused.
    No,
    /// Nobody answers to a connection's first packet.
    Stalls,
}

/// Says what becomes of the answer to a request.
pub type Choose = Box<dyn FnMut(&Request<Vec<u8>>) -> Fault + Send>;

/// A provider behind the layer.
pub struct Faulty {
    pub address: SocketAddr,
    listen: watch::Sender<Listen>,
    choose: Arc<Mutex<Choose>>,
}

impl Faulty {
    /// A layer in front of `simulator` that spoils nothing yet.
    pub async fn new<S: Simulator>(simulator: Arc<S>) -> Faulty {
        // An address of its own: nobody else takes the port while nobody listens.
        let ip = Ipv4Addr::new(127, fastrand::u8(1..), fastrand::u8(..), fastrand::u8(1..255));
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (listen, wish) = watch::channel(Listen::Yes);
        let choose: Arc<Mutex<Choose>> = Arc::new(Mutex::new(Box::new(|_| Fault::None)));
        tokio::spawn(serve(listener, wish, simulator, Arc::clone(&choose)));
        Faulty { address, listen, choose }
    }

    /// From now on.
    pub fn listen(&self, listen: Listen) {
        self.listen.send_if_modified(|before| std::mem::replace(before, listen) != listen);
    }

    /// From now on, for every request.
    pub fn spoil(&self, choose: impl FnMut(&Request<Vec<u8>>) -> Fault + Send + 'static) {
        *self.choose.lock().unwrap() = Box::new(choose);
    }

    /// Spoils nothing any more.
    pub fn heal(&self) {
        self.spoil(|_| Fault::None);
        self.listen(Listen::Yes);
    }

    /// From now on spoils three of ten answers with one of these faults, by chance.
    pub fn storm(&self, mut random: fastrand::Rng, faults: Vec<Fault>) {
        self.spoil(
            move |_| if random.u8(..10) < 3 { faults[random.usize(..faults.len())].clone() } else { Fault::None },
        );
    }
}

async fn serve<S: Simulator>(
    listener: TcpListener,
    mut wish: watch::Receiver<Listen>,
    simulator: Arc<S>,
    choose: Arc<Mutex<Choose>>,
) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    loop {
        let now = *wish.borrow_and_update();
        match now {
            Listen::Yes => {
                let listener = listener.take().unwrap_or_else(|| listening(address, 1024));
                loop {
                    tokio::select! {
                        changed = wish.changed() => match changed {
                            Ok(()) => break,
                            Err(_) => return,
                        },
                        Ok((stream, _)) = listener.accept() => {
                            let (simulator, choose) = (Arc::clone(&simulator), Arc::clone(&choose));
                            tokio::spawn(async move { answer(stream, &*simulator, &choose).await });
                        }
                    }
                }
            }
            Listen::No => {
                listener = None;
                if wish.changed().await.is_err() {
                    return;
                }
            }
            Listen::Stalls => {
                // A queue of one place, and it is taken: the kernel drops what knocks.
                let _listener = listening(address, 0);
                let _first = TcpStream::connect(address).await.unwrap();
                if wish.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

fn listening(address: SocketAddr, places: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(places).unwrap()
}

/// Answers one request, well or badly, and closes the connection.
async fn answer(mut stream: TcpStream, simulator: &impl Simulator, choose: &Mutex<Choose>) {
    let Some(request) = read(&mut stream).await else { return };
    let fault = (choose.lock().unwrap())(&request);
    // The provider has seen the request, whatever becomes of the answer.
    let response = simulator.answer(&request);
    let whole = |response: &Response<Vec<u8>>| written(response, response.body().len());
    let half = |response: &Response<Vec<u8>>| {
        let bytes = whole(response);
        let end = bytes.len() - response.body().len().div_ceil(2);
        bytes[..end].to_vec()
    };
    let mut changed = response.clone();
    let bytes = match &fault {
        Fault::ResetBefore | Fault::StallHeaders => Vec::new(),
        Fault::None | Fault::ResetAfter | Fault::Drip => whole(&response),
        Fault::ResetInside | Fault::StallBody => half(&response),
        Fault::LessThanSaid => written(&response, response.body().len() + 100),
        Fault::MoreThanSaid => written(&response, response.body().len() / 2),
        Fault::Answer(status, headers, body) => {
            changed = Response::new(body.clone().into_bytes());
            *changed.status_mut() = StatusCode::from_u16(*status).unwrap();
            for (name, value) in headers {
                let value = HeaderValue::from_str(value).unwrap();
                changed.headers_mut().insert(HeaderName::from_static(name), value);
            }
            whole(&changed)
        }
        Fault::Truncated => {
            changed.body_mut().truncate(response.body().len() / 2);
            whole(&changed)
        }
        Fault::Empty => {
            changed.body_mut().clear();
            whole(&changed)
        }
        Fault::ContentType(name) => {
            changed.headers_mut().insert("content-type", HeaderValue::from_static(name));
            whole(&changed)
        }
    };
    match fault {
        Fault::Drip => {
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        // A client that has gone away is no trouble here.
        _ => drop(stream.write_all(&bytes).await),
    }
    match fault {
        Fault::ResetBefore | Fault::ResetInside | Fault::ResetAfter => stream.set_zero_linger().unwrap(),
        // Until the client has had enough.
        Fault::StallHeaders | Fault::StallBody => drop(stream.read(&mut [0]).await),
        _ => drop(stream.shutdown().await),
    }
}

/// A request with its body; `None` if it does not come.
async fn read(stream: &mut TcpStream) -> Option<Request<Vec<u8>>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    };
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let mut request = Request::builder().method(first.next()?).uri(first.next()?);
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
        request = request.header(name, value);
    }
    let mut body = vec![0; length - bytes.len()];
    stream.read_exact(&mut body).await.ok()?;
    bytes.extend(body);
    request.body(bytes).ok()
}

/// A response as bytes that claims to have a body of this length.
fn written(response: &Response<Vec<u8>>, length: usize) -> Vec<u8> {
    let mut head =
        format!("HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {length}\r\n", response.status().as_u16());
    for (name, value) in response.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    [format!("{head}\r\n").as_bytes(), response.body()].concat()
}

/// The seed of what goes wrong: of the environment, to see the same faults once more, or a new one. The exporter's
/// own jitter and the network stay as they come.
pub fn seed() -> u64 {
    let seed = std::env::var("PUSH_EXPORTER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("PUSH_EXPORTER_SEED={seed}");
    seed
}

/// Faults that take no time.
pub fn quick_faults() -> Vec<Fault> {
    let limited = vec![("x-rate-limit-remaining", "0".to_owned()), ("x-rate-limit-reset", "7".to_owned())];
    vec![
        Fault::ResetBefore,
        Fault::ResetInside,
        Fault::ResetAfter,
        Fault::answer(500, r#"{"error":{"code":10,"message":"系统内部错误"}}"#),
        Fault::answer(502, "<html>Bad Gateway</html>"),
        Fault::answer(503, ""),
        Fault::answer(200, "<html>login</html>"),
        Fault::Answer(429, limited, String::new()),
        Fault::answer(401, ""),
        Fault::Truncated,
        Fault::Empty,
        Fault::ContentType("text/html"),
        Fault::LessThanSaid,
        Fault::MoreThanSaid,
    ]
}
