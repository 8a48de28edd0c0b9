//! Requests answered without a kernel and without rings, for tests and the fuzz target, which ask
//! whatever they like. What panics here is not caught, so that it is found.

use std::sync::Arc;

use zerocopy::FromBytes;

use super::encode::Body;
use super::request::Request;
use super::serve::Server;
use super::wire::InHeader;
use crate::base::haste::hastily;
use crate::vfs::Vfs;

/// Answers the requests of FUSE.
pub struct Requests {
    server: Server,
    body: Body,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// What comes behind the header of the answer.
    Body(&'a [u8]),
    /// An error number.
    Error(i32),
    /// The kernel waits for none.
    Silent,
}

impl Requests {
    /// Answers from a filesystem.
    pub fn new(vfs: Arc<Vfs>) -> Self {
        Self { server: Server::new(vfs), body: Body::new() }
    }

    /// Answers a message of the device; `None` if it is too short to be one.
    pub fn whole(&mut self, message: &[u8]) -> Option<Reply<'_>> {
        Request::from_message(message).map(|request| self.answer(&request))
    }

    /// Answers what a ring has in three places; `None` if the first is too short for a header.
    pub fn parts(&mut self, header: &[u8], structure: &[u8], payload: &[u8]) -> Option<Reply<'_>> {
        let (header, _) = InHeader::read_from_prefix(header).ok()?;
        Some(self.answer(&Request::from_parts(header, structure, payload)))
    }

    /// As a queue does it: at once, or else at length.
    fn answer(&mut self, request: &Request<'_>) -> Reply<'_> {
        let Self { server, body } = self;
        let mut serve = || {
            body.clear();
            server.serve(request, body)
        };
        let answer = match hastily(&mut serve) {
            Some(answer) => answer,
            None => serve(),
        };
        match answer {
            Ok(true) => Reply::Body(body),
            Ok(false) => Reply::Silent,
            Err(errno) => Reply::Error(errno.raw_os_error()),
        }
    }
}
