//! Support for behaviour tests: namespaces, agents, peers.
