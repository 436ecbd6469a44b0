//! `--network=none`: a network namespace of its own, in which only the loopback device is, and is up.

use nix::sched::{CloneFlags, unshare};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};

use super::error::{Error, failed};

/// A netlink message, in the machine's byte order (netlink(7), rtnetlink(7)): `RTM_NEWLINK` for interface 1, which is the
/// loopback device of every namespace, with `IFF_UP` as its flags and as what is to change.
fn loopback_up() -> Vec<u8> {
    const LENGTH: u32 = 32;
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const IFF_UP: u32 = 1;
    const LOOPBACK: i32 = 1;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend([RTM_NEWLINK, NLM_F_REQUEST].into_iter().flat_map(u16::to_ne_bytes));
    message.extend([1u32, 0].into_iter().flat_map(u32::to_ne_bytes));
    // Family, padding and type of the device: unspecified.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend([IFF_UP, IFF_UP].into_iter().flat_map(u32::to_ne_bytes));
    message
}

/// Leaves the network that this process is in.
pub(super) fn leave() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(failed("--network=none: unshare the network"))?;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
        .map_err(failed("--network=none: netlink socket"))?;
    sendto(&socket, &loopback_up(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
        .map_err(failed("--network=none: bring the loopback device up"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_as_long_as_it_says() {
        let message = loopback_up();
        assert_eq!(message.len(), 32);
        assert_eq!(message[..4], 32u32.to_ne_bytes());
    }
}
