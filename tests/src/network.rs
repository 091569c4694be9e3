//! Pods on a bridge: the network of a small cluster, cut off from everything else.

use crate::cgroup::Cgroup;
use crate::deadline::eventually;
use crate::error::Result;
use crate::namespace::Namespace;
use crate::process::Process;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// How long a program may take to listen.
const LISTENING_LIMIT: Duration = Duration::from_secs(20);

/// Which address families a pod has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6.
    Dual,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// A bridge in a namespace of its own. Pods reach each other through it and nothing else: no pod has a default route.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    pods: u16,
}

impl Network {
    /// Makes the bridge.
    ///
    /// # Errors
    /// If the caller is not root.
    pub fn new() -> Result<Self> {
        let switch = Namespace::new()?;
        switch.ip("link add bridge type bridge\nlink set bridge up\n")?;
        Ok(Self { switch, pods: 0 })
    }

    /// Makes a pod: a namespace plugged into the bridge and a cgroup below `parent`, with the next free addresses of
    /// `10.244.0.0/16` and `fd00:244::/64`.
    ///
    /// # Errors
    /// If a device or group cannot be made.
    pub fn add_pod(&mut self, parent: &Cgroup, name: &str, families: Families) -> Result<Pod> {
        self.pods += 1;
        let number = self.pods;
        let [high, low] = (number + 1).to_be_bytes();
        let ipv4 = (families != Families::V6).then(|| Ipv4Addr::new(10, 244, high, low));
        let ipv6 = (families != Families::V4)
            .then(|| Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, number + 1));
        let namespace = Namespace::new()?;
        self.switch.ip(&format!(
            "link add port{number} type veth peer name eth0 netns {}\n\
             link set port{number} master bridge up\n",
            namespace.path(),
        ))?;
        let mut lines = String::from("link set eth0 up\n");
        if let Some(address) = ipv4 {
            lines.push_str(&format!("addr add {address}/16 dev eth0\n"));
        }
        if let Some(address) = ipv6 {
            lines.push_str(&format!("addr add {address}/64 dev eth0 nodad\n"));
        }
        namespace.ip(&lines)?;
        let cgroup = parent.child(name)?;
        Ok(Pod {
            name: name.to_owned(),
            cgroup,
            namespace,
            ipv4,
            ipv6,
        })
    }
}

/// A network namespace with addresses, and a cgroup: all the mesh can see of a pod.
#[derive(Debug)]
pub struct Pod {
    name: String,
    cgroup: Cgroup,
    namespace: Namespace,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
}

impl Pod {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its cgroup.
    #[must_use]
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its IPv4 address.
    ///
    /// # Panics
    /// If the pod was made without one.
    #[must_use]
    pub fn ipv4(&self) -> IpAddr {
        self.ipv4.expect("the pod was made with IPv4").into()
    }

    /// Its IPv6 address.
    ///
    /// # Panics
    /// If the pod was made without one.
    #[must_use]
    pub fn ipv6(&self) -> IpAddr {
        self.ipv6.expect("the pod was made with IPv6").into()
    }

    /// Waits until somebody accepts connections at an address, as the pod sees it.
    ///
    /// # Errors
    /// If nobody does in time.
    pub fn await_listening(&self, address: SocketAddr) -> Result {
        eventually(
            &format!("a listener at {address}"),
            LISTENING_LIMIT,
            || match self.namespace.enter(|| TcpStream::connect(address)) {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            },
        )
    }

    /// Starts a program in the pod.
    ///
    /// # Errors
    /// If the program does not exist.
    pub fn spawn(&self, command: Command) -> Result<Process> {
        Process::spawn(command, &self.cgroup, Some(&self.namespace))
    }
}
