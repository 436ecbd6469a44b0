//! The ways that the fault runs go: what stands between the client and the registry, and what is sent over it. On each, every
//! server that the client speaks with spoils some requests, by the run's seed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use silt::registry::{Authorities, Client, Policy, Routes, Timeouts};

use super::faults::{mix, verdict};
use super::web::PASS;
use super::{Parcel, hasty, parcel, with_password};
use crate::registry::reference;
use crate::support::authority::Authority;
use crate::support::gateway::{Gateway, Request, Verdict};
use crate::support::nginx::Nginx;
use crate::support::registry::Registry;
use crate::support::tokens::TokenServer;

/// The largest body that is taken where bodies are limited, in bytes.
const LIMIT: usize = 200 << 10;

/// What is special about a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// Nothing: plain HTTP, three layers of 3 kB.
    Plain,
    /// TLS with a certificate of a private authority.
    Encrypted,
    /// The same over HTTP/2, which nginx speaks before a gateway that spoils: a cut becomes a reset of a stream, or a 502.
    Http2,
    /// TLS, and tokens, from a server that spoils requests too.
    Tokens,
    /// A mirror that is asked first.
    Mirror,
    /// Bodies over [`LIMIT`] are refused (413); two layers of 400 kB.
    Chunks,
    /// One layer of 12 MiB: more than what makes an attempt count as none.
    Large,
}

pub const WAYS: [Way; 7] = [Way::Plain, Way::Encrypted, Way::Http2, Way::Tokens, Way::Mirror, Way::Chunks, Way::Large];

impl Way {
    /// The way of the run with this seed.
    pub fn of(seed: u64) -> Way {
        match mix(seed, 0xFACE) % 32 {
            0..=6 => Way::Plain,
            7..=10 => Way::Encrypted,
            11..=14 => Way::Http2,
            15..=20 => Way::Tokens,
            21..=25 => Way::Mirror,
            26..=30 => Way::Chunks,
            _ => Way::Large,
        }
    }

    /// An image as is sent on it; its bytes follow from `seed`.
    pub fn parcel(self, seed: u64) -> Parcel {
        match self {
            Way::Chunks => parcel(2, 400_000, seed),
            Way::Large => parcel(1, 12 << 20, seed),
            _ => parcel(3, 3000, seed),
        }
    }

    /// How far into an answer the faults reach, in bytes.
    fn reach(self) -> usize {
        match self {
            Way::Chunks => 400_000,
            Way::Large => 12 << 20,
            _ => 3000,
        }
    }

    fn timeouts(self) -> Timeouts {
        let [connect, stall, commit] = [500, 300, 500].map(Duration::from_millis);
        if self == Way::Large { hasty().timeouts } else { Timeouts { connect, stall, commit } }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// What all runs share.
pub struct Ground {
    pub registry: Registry,
    authority: Authority,
    /// A certificate that it signed, and its key.
    certificate: (PathBuf, PathBuf),
    tls: Arc<rustls::ServerConfig>,
    tokens: TokenServer,
    originals: Vec<(Way, Parcel)>,
}

impl Ground {
    /// A registry that has, for each way, an image `WAY:1` to be pulled.
    pub fn new() -> Ground {
        let (registry, authority) = (Registry::start(), Authority::new());
        let direct = Client::new(Policy::default()).unwrap();
        let originals = WAYS.map(|way| {
            let original = way.parcel(999);
            let name = reference(&registry.name(&format!("{way}:1")));
            direct.push(&name, &original.image, &original.blobs).unwrap();
            (way, original)
        });
        let (tls, certificate) = (authority.tls(), authority.server());
        Ground {
            registry,
            authority,
            certificate,
            tls,
            tokens: TokenServer::opaque(Duration::from_secs(600)),
            originals: originals.into(),
        }
    }

    /// The `http` block of an nginx on `port` that speaks HTTP/2 and passes all on to `behind`.
    fn http2(&self, port: u16, behind: u16) -> String {
        let (certificate, key) = &self.certificate;
        format!(
            "access_log off; server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_buffering off; {PASS} }} }}",
            certificate.display(),
            key.display()
        )
    }

    pub fn original(&self, way: Way) -> &Parcel {
        &self.originals.iter().find(|(of, _)| *of == way).unwrap().1
    }
}

/// The servers of one run, and a client that knows of them.
pub struct Road {
    way: Way,
    pub client: Client,
    /// Where images are pulled from and pushed to.
    gateway: Gateway,
    /// What the client speaks with instead, if there is one.
    front: Option<Nginx>,
    /// What stands beside: the token server or the mirror.
    beside: Option<Gateway>,
    spoilt: Arc<AtomicU64>,
}

impl Road {
    pub fn new(ground: &Ground, way: Way, seed: u64) -> Road {
        let (port, spoilt) = (ground.registry.port(), Arc::default());
        let judge = |seed| judge(way, seed, &spoilt);
        let policy = Policy { timeouts: way.timeouts(), ..hasty() };
        let file = Some(ground.authority.certificate());
        let trusting = Policy { authorities: Authorities { file, ..Authorities::default() }, ..policy.clone() };
        let second = seed + 1_000_000;
        let mut front = None;
        let (client, gateway, beside) = match way {
            Way::Plain | Way::Chunks | Way::Large => {
                (Client::new(policy).unwrap(), Gateway::start(port, judge(seed)), None)
            }
            Way::Encrypted => {
                (Client::new(trusting).unwrap(), Gateway::encrypted(port, ground.tls.clone(), judge(seed)), None)
            }
            Way::Http2 => {
                let gateway = Gateway::start(port, judge(seed));
                front = Some(Nginx::start(|port, _| ground.http2(port, gateway.port())));
                (Client::new(trusting).unwrap(), gateway, None)
            }
            Way::Tokens => {
                let server = Gateway::encrypted(ground.tokens.gateway.port(), ground.tls.clone(), judge(second));
                let guard = ground.tokens.guard_with(format!("https://{}", server.name("token")));
                let faults = judge(seed);
                let both = move |asked: &Request| match guard(asked) {
                    Verdict::Forward => faults(asked),
                    refused => refused,
                };
                let gateway = Gateway::encrypted(port, ground.tls.clone(), both);
                (with_password(trusting, "pass:word"), gateway, Some(server))
            }
            Way::Mirror => {
                let (gateway, mirror) = (Gateway::start(port, judge(seed)), Gateway::start(port, judge(second)));
                let mut routes = Routes::default();
                routes.add_map(&format!("127.0.0.1:{}=127.0.0.1:{}", gateway.port(), mirror.port())).unwrap();
                (Client::new(Policy { routes, ..policy }).unwrap(), gateway, Some(mirror))
            }
        };
        Road { way, client, gateway, front, beside, spoilt }
    }

    /// The name of an image at its end.
    pub fn name(&self, image: &str) -> String {
        self.front.as_ref().map_or_else(|| self.gateway.name(image), |front| front.name(image))
    }

    /// The hosts of which an error can speak.
    pub fn hosts(&self) -> Vec<String> {
        let beside = self.beside.as_ref().map(|gateway| gateway.name(""));
        [Some(self.name("")), beside].into_iter().flatten().map(|name| name.trim_end_matches('/').to_owned()).collect()
    }

    /// How many requests were spoilt.
    pub fn spoilt(&self) -> u64 {
        self.spoilt.load(Ordering::Relaxed)
    }

    /// How many requests the token server or the mirror got.
    pub fn asked_beside(&self) -> usize {
        self.beside.as_ref().map_or(0, |gateway| gateway.requests().len())
    }

    /// How many requests were refused because they were too large.
    pub fn refused_bodies(&self) -> usize {
        let length = |asked: &Request| asked.header("content-length").parse::<usize>().unwrap_or(0);
        let is_large = |asked: &&Request| asked.method == "PATCH" && length(asked) > LIMIT;
        if self.way == Way::Chunks { self.gateway.requests().iter().filter(is_large).count() } else { 0 }
    }
}

/// Spoils one request in three to fourteen.
fn judge(way: Way, seed: u64, spoilt: &Arc<AtomicU64>) -> impl Fn(&Request) -> Verdict + Send + Sync + use<> {
    let (count, spoilt, rarity) = (AtomicU64::new(0), spoilt.clone(), 3 + seed % 12);
    move |asked| {
        if way == Way::Chunks && asked.method == "PATCH" && asked.body.len() > LIMIT {
            return Verdict::status(413);
        }
        let verdict = verdict(seed, count.fetch_add(1, Ordering::Relaxed), rarity, way.reach(), asked);
        spoilt.fetch_add(u64::from(!matches!(verdict, Verdict::Forward)), Ordering::Relaxed);
        verdict
    }
}

#[test]
fn every_way_is_gone_many_times() {
    let gone = |way| (0..500).filter(|seed| Way::of(*seed) == way).count();
    let counts = WAYS.map(gone);
    assert!(counts.iter().all(|count| *count >= 10) && counts.iter().sum::<usize>() == 500, "{counts:?}");
}
