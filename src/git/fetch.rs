//! One commit from a remote: what its references say, and the pack with that commit and all of its tree.
//!
//! The commit is fetched with depth 1. One that a server does not give by its id alone is looked for in the whole history of
//! its references, as `git fetch` would find it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, anyhow, ensure};
use gix_hash::ObjectId;
use gix_pack::Bundle;
use gix_protocol::fetch::{Arguments, Response, response::ShallowUpdate};
use gix_protocol::handshake::Ref;
use gix_protocol::ls_refs::RefPrefixes;
use gix_protocol::{Command, Handshake, LsRefsCommand};
use gix_transport::client::blocking_io::Transport;
use gix_transport::{Protocol, Service};
use gix_utils::progress::Discard;

use super::revision::Target;
use super::transport::{self, Fault, line};
use super::{Client, Remote, Revision, bounds};

/// How we are known in the protocol.
const AGENT: &str = concat!("silt/", env!("CARGO_PKG_VERSION"));

/// Nothing here is interrupted: the process ends.
static NEVER: AtomicBool = AtomicBool::new(false);

/// A commit with its tree, in a pack.
#[derive(Debug)]
pub(super) struct Fetched {
    /// What was named: a commit, or an annotated tag.
    pub id: ObjectId,
    /// The reference that named it, whole; none for a commit.
    pub reference: Option<Vec<u8>>,
    /// The index of the pack, beside it.
    pub index: PathBuf,
    /// The commits whose parents are not there.
    pub shallow: Vec<ObjectId>,
}

/// How much of the history comes along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum History {
    None,
    All,
}

/// Fetches what `revision` names from `remote`; the pack is written to `into`.
pub(super) fn fetch(client: &Client<'_>, remote: &Remote, revision: &Revision, into: &Path) -> Result<Fetched> {
    let Revision::Commit(id) = revision else {
        let mut session = Session::open(client, remote)?;
        let refs = session.references(revision.candidates())?;
        let Target { name, id } = revision.choose(&refs)?;
        let pack = session.pack(&[id], History::None, into)?;
        return Ok(Fetched { id, reference: Some(name), index: pack.index, shallow: pack.shallow });
    };
    let id = ObjectId::from_hex(id.as_bytes()).map_err(|error| anyhow!("{error}"))?;
    let alone = Session::open(client, remote)?.pack(&[id], History::None, into);
    let pack = match alone {
        Ok(pack) => pack,
        Err(Refused::ByServer(why)) => from_history(client, remote, id, into, &why)?,
        Err(Refused::Otherwise(error)) => return Err(error),
    };
    Ok(Fetched { id, reference: None, index: pack.index, shallow: pack.shallow })
}

/// Looks for a commit that the server does not give by its id.
fn from_history(client: &Client<'_>, remote: &Remote, id: ObjectId, into: &Path, why: &str) -> Result<Pack> {
    tracing::info!("{} does not give the commit by its id ({why}); its whole history is fetched", remote.host());
    let mut session = Session::open(client, remote)?;
    let mut tips: Vec<ObjectId> =
        session.references(vec!["refs/heads/".into(), "refs/tags/".into()])?.iter().filter_map(tip).collect();
    tips.sort_unstable();
    tips.dedup();
    ensure!(!tips.is_empty(), "it has no commit {id}");
    let pack = session.pack(&tips, History::All, into)?;
    let bundle = Bundle::at(&pack.index, gix_hash::Kind::Sha1).map_err(|error| anyhow!("{error}"))?;
    ensure!(bundle.index.lookup(id).is_some(), "it has no commit {id}");
    Ok(pack)
}

fn tip(reference: &Ref) -> Option<ObjectId> {
    match reference {
        Ref::Peeled { tag, .. } => Some(*tag),
        Ref::Direct { object, .. } | Ref::Symbolic { object, .. } => Some(*object),
        Ref::Unborn { .. } => None,
    }
}

/// Why there is no pack.
enum Refused {
    /// The server says no to what was asked for.
    ByServer(String),
    Otherwise(anyhow::Error),
}

impl From<Refused> for anyhow::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::ByServer(why) => anyhow!("the server says: {why}"),
            Refused::Otherwise(error) => error,
        }
    }
}

struct Pack {
    index: PathBuf,
    shallow: Vec<ObjectId>,
}

/// A conversation with a remote.
struct Session {
    transport: Box<dyn Transport>,
    handshake: Handshake,
    fault: Fault,
}

impl Session {
    fn open(client: &Client<'_>, remote: &Remote) -> Result<Self> {
        let fault = Fault::default();
        let mut transport = transport::open(client, remote, &fault)?;
        let nobody = |_| Ok(None);
        let handshake = gix_protocol::handshake(&mut transport, Service::UploadPack, nobody, Vec::new(), &mut Discard);
        let handshake = handshake.map_err(|error| fault.explain(&error))?;
        let format =
            handshake.capabilities.capability("object-format").and_then(|it| it.value().map(ToOwned::to_owned));
        ensure!(
            format.is_none_or(|format| format == "sha1"),
            "its objects are not named by SHA-1, which is not supported"
        );
        Ok(Session { transport, handshake, fault })
    }

    /// The references that begin with one of `names`, and maybe others.
    fn references(&mut self, names: Vec<String>) -> Result<Vec<Ref>> {
        if let Some(refs) = &self.handshake.refs {
            return Ok(refs.clone());
        }
        let mut prefixes = RefPrefixes::new();
        prefixes.extend(names.into_iter().map(Into::into));
        let agent = ("agent", Some(AGENT.to_owned()));
        let command = LsRefsCommand::new(Some(prefixes), &self.handshake.capabilities, agent);
        let refs = command.invoke_blocking(&mut self.transport, &mut Discard, false);
        refs.map_err(|error| self.fault.explain(&error))
    }

    /// Writes the pack with these objects and all that they need to `into`.
    fn pack(&mut self, wants: &[ObjectId], history: History, into: &Path) -> Result<Pack, Refused> {
        let version = self.handshake.server_protocol_version;
        let mut features = Command::Fetch.default_features(version, &self.handshake.capabilities);
        Response::check_required_features(version, &features).map_err(|error| self.otherwise(&error))?;
        features.push(("agent", Some(AGENT.to_owned())));
        let mut arguments = Arguments::new(version, features, false);
        if history == History::None && arguments.can_use_shallow() {
            arguments.deepen(1);
        }
        wants.iter().for_each(|id| arguments.want(id));
        let said = Fault::default();
        let mut reader = match arguments.send(&mut self.transport, true) {
            Ok(reader) => reader,
            Err(error) => return Err(refused(&self.fault, &error)),
        };
        let mut response = match Response::from_line_reader(version, &mut reader, true, false) {
            Ok(response) => response,
            Err(error) => return Err(refused(&self.fault, &error)),
        };
        if version != Protocol::V2 {
            response.append_v1_shallow_updates(self.handshake.v1_shallow_updates.take());
        }
        let heard = said.clone();
        reader.set_progress_handler(Some(Box::new(move |is_error, text: &[u8]| {
            if is_error {
                heard.set(&format!("the server says: {}", line(&String::from_utf8_lossy(text))));
            }
            ControlFlow::Continue(())
        })));
        let index = write(&mut reader, into).map_err(|error| Refused::Otherwise(said.explain(error.as_ref())))?;
        let shallow = response.shallow_updates().iter().filter_map(|update| match update {
            ShallowUpdate::Shallow(id) => Some(*id),
            ShallowUpdate::Unshallow(_) => None,
        });
        Ok(Pack { index, shallow: shallow.collect() })
    }

    fn otherwise(&self, error: &(dyn std::error::Error + 'static)) -> Refused {
        Refused::Otherwise(self.fault.explain(error))
    }
}

/// A server's own no is a line of the protocol; anything else is a failure of the way to it.
fn refused(fault: &Fault, error: &(dyn std::error::Error + 'static)) -> Refused {
    let text = fault.explain(error).to_string();
    if text.contains("not our ref") || text.contains("unadvertised object") {
        Refused::ByServer(text)
    } else {
        Refused::Otherwise(anyhow!("{text}"))
    }
}

/// Writes a pack and its index; what the index says is counted from the objects themselves.
fn write(mut pack: &mut dyn std::io::BufRead, into: &Path) -> Result<PathBuf> {
    let options = gix_pack::bundle::write::Options {
        thread_limit: Some(2),
        alloc_limit_bytes: Some(bounds::OBJECT),
        ..Default::default()
    };
    let (nothing, kind) = (None::<gix_object::find::Never>, gix_hash::Kind::Sha1);
    let written = Bundle::write_to_directory(&mut pack, Some(into), &mut Discard, &NEVER, nothing, kind, options);
    let written = written.map_err(|error| Fault::default().explain(&error))?;
    written.index_path.context("the server sent nothing")
}
