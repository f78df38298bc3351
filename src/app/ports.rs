//! Ports of dialects that have one of their own, beside the main listener.
//!
//! Whoever embeds the server opens them or not; what is open is served with the rest.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

use super::{App, StartError};
use crate::http::layers;
use crate::settings::Listen;

/// A port that is open, and what is found there.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) listener: TcpListener,
    pub(super) router: Router,
}

/// Where a part of the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which part.
    pub part: &'static str,
    /// Where, with the port that was taken.
    pub address: SocketAddr,
    /// The same as clients write it.
    pub url: String,
}

impl App {
    /// Opens the ports that dialects and the relay have for themselves, and tells where;
    /// port 0 takes a free one.
    pub async fn open_ports(&mut self) -> Result<Vec<Address>, StartError> {
        let mut open = Vec::new();
        for (part, listen, router) in self.own_ports() {
            let Some(address) = listen.address() else { continue };
            let refused = |source| StartError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            let address = listener.local_addr().map_err(refused)?;
            open.push(Address { part, address, url: format!("ws://{address}") });
            let router = layers::around(router, &self.settings.http);
            self.ports.push(Port { listener, router });
        }
        if let Some(address) = self.listen_for_relay()? {
            open.push(Address { part: "turn", address, url: format!("turn:{address}") });
        }
        Ok(open)
    }

    fn own_ports(&self) -> Vec<(&'static str, Listen, Router)> {
        let settings = &self.settings;
        let mut ports = Vec::new();
        if settings.private_chat.enabled {
            let router = self.private_chat.own_port();
            ports.push(("private-chat", settings.private_chat.listen, router));
        }
        if settings.courier.enabled {
            ports.push(("courier", settings.courier.listen, self.courier.own_port()));
        }
        ports
    }
}
