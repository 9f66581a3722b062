//! The commands of the client protocol: what a client may ask for, and what it is answered.

use super::auth::{self, Identity, Overrides, SubscriptionGrant, TokenError};
use super::grants::{Grant, seconds};
use super::ids::RoomName;
use super::nicks;
use super::peer::{HistoryRequest, Join, PeerMessage};
use super::session::{Beat, Membership, Pace, Purpose, Stage, Wait};
use super::settings::Operation;
use super::shard::{Effects, Shard};
use super::terms::Wishes;
use crate::protocol::codes::{self, Disconnect, ErrorCode};
use crate::protocol::command::{self, Command, Connect, Data, Frame, GuestData, Request};
use crate::protocol::content::Content;
use crate::protocol::json;
use crate::protocol::messages::{Body, ConnectResult, Empty, RefreshResult, Reply, ServerSub};
use crate::protocol::reply::VERSION;
use bytes::Bytes;

/// Why a command was not carried out.
pub(super) enum Refusal {
    /// The command gets an error reply.
    Error(ErrorCode),
    /// The connection is closed.
    Close(Disconnect),
}

/// How a connection comes into a room.
#[derive(Default)]
pub(super) struct Entry {
    /// Command to answer (0: none).
    pub(super) id: u32,
    /// Position from which it is to recover: epoch as text, offset.
    pub(super) recover: Option<(String, u64)>,
    /// Options that are different for this client.
    pub(super) overrides: Overrides,
    /// What the client asks for.
    pub(super) wishes: Wishes,
    /// Bytes of the past that it may be told at once.
    pub(super) past_bytes_max: usize,
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Self {
        Refusal::Error(error)
    }
}

impl Shard {
    /// The commands of one frame, in order. What has to wait is kept.
    pub(super) fn commands<'a>(
        &mut self,
        slot: u32,
        mut commands: impl Frame<'a>,
        fx: &mut Effects,
    ) {
        let quarter = self.settings.config.client.queue_max_size / 4;
        if commands.rest().is_empty() {
            return self.close(slot, codes::BAD_REQUEST_CLOSE, fx);
        }
        loop {
            let before = commands.rest();
            let Some(command) = commands.next() else { return };
            let Ok(command) = command else {
                return self.close(slot, codes::BAD_REQUEST_CLOSE, fx);
            };
            self.metrics.commands.inc();
            let again = self.command(slot, command, fx);
            let Some(session) = self.session(slot) else { return };
            // A command that must wait for a room comes again; otherwise what follows waits.
            let rest = if again { before } else { commands.rest() };
            let wait = session.wait != Wait::Nothing || session.outbox.bytes() > quarter;
            if again || wait && !rest.is_empty() {
                session.waiting = Some(rest.into());
                return;
            }
        }
    }

    /// Carries out one command. True: it has to wait (the session says for what) and come again.
    fn command(&mut self, slot: u32, command: Command<'_>, fx: &mut Effects) -> bool {
        let id = command.id;
        if matches!(command.request, Request::Pong) {
            self.pong(slot);
            self.control_paced(slot, fx);
            return false;
        }
        if self.waits_for_room(slot, &command.request) {
            return true;
        }
        let refusal = match self.paced(slot).and_then(|()| self.carry_out(slot, command, fx)) {
            Ok(()) => return false,
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::Error(error) => {
                self.metrics.command_errors.inc();
                if id > 0 {
                    self.reply(slot, &Reply::new(id, error), fx);
                }
            }
            Refusal::Close(why) => self.close(slot, why, fx),
        }
        false
    }

    fn paced(&mut self, slot: u32) -> Result<(), Refusal> {
        let client = &self.settings.config.client;
        let (rate, burst) = (client.command_rate_limit, client.command_rate_burst);
        let now_ms = self.now.mono_ms;
        match self.session(slot).map(|s| s.pace(now_ms, rate, burst)) {
            Some(Pace::TooFast) => {
                self.metrics.rate_limited.inc();
                Err(codes::TOO_MANY_REQUESTS.into())
            }
            Some(Pace::GiveUp) => Err(Refusal::Close(codes::TOO_MANY_REQUESTS_CLOSE)),
            Some(Pace::Fine) | None => Ok(()),
        }
    }

    /// Counts a ping or pong like a command, so that a flood of them ends too. True: it may be
    /// answered.
    pub(super) fn control_paced(&mut self, slot: u32, fx: &mut Effects) -> bool {
        match self.paced(slot) {
            Ok(()) => true,
            Err(Refusal::Error(_)) => false,
            Err(Refusal::Close(why)) => {
                self.close(slot, why, fx);
                false
            }
        }
    }

    /// A subscribe or unsubscribe of a room that is being joined waits for the join's end.
    fn waits_for_room(&mut self, slot: u32, request: &Request<'_>) -> bool {
        let channel = match request {
            Request::Subscribe(subscribe) => &subscribe.channel,
            Request::Unsubscribe(room) => &room.channel,
            _ => return false,
        };
        let Some(&room) = self.room_index.get(channel.as_ref()) else { return false };
        let Some(session) = self.session(slot) else { return false };
        let joining = session.membership(room).is_some_and(|m| m.stage != Stage::Joined);
        if joining {
            session.wait = Wait::Room(room);
        }
        joining
    }

    fn carry_out(
        &mut self,
        slot: u32,
        command: Command<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let id = command.id;
        let connected = self.session(slot).is_some_and(|s| s.connected);
        if connected == matches!(command.request, Request::Connect(_)) {
            return Err(Refusal::Close(codes::BAD_REQUEST_CLOSE));
        }
        match command.request {
            Request::Publish(publish) => {
                let data = publish.data.ok_or(codes::BAD_REQUEST)?;
                self.publish_command(slot, id, &publish.channel, data, fx)
            }
            Request::Connect(connect) => self.connect(slot, id, &connect, fx),
            Request::Subscribe(subscribe) => self.subscribe(slot, id, &subscribe, fx),
            Request::Unsubscribe(room) => {
                // Leaving a room that one is not in is no error: the SDK wants it gone.
                if let Some(&index) = self.room_index.get(room.channel.as_ref()) {
                    self.send_owed(slot, index, fx);
                    self.leave(slot, index, fx);
                }
                self.reply(slot, &Reply::new(id, Body::Unsubscribe(Empty {})), fx);
                Ok(())
            }
            Request::History(history) => self.history(slot, id, &history, fx),
            Request::Ping => {
                self.reply(slot, &Reply::new(id, Body::Ping(Empty {})), fx);
                Ok(())
            }
            Request::Refresh(refresh) => self.refresh(slot, id, &refresh.token, fx),
            Request::SubRefresh(refresh) => {
                Ok(self.sub_refresh(slot, id, &refresh.channel, &refresh.token, fx)?)
            }
            Request::Presence(room) => self.presence(slot, id, &room.channel, false, fx),
            Request::PresenceStats(room) => self.presence(slot, id, &room.channel, true, fx),
            Request::Rpc(rpc) => {
                let data = rpc.data.and_then(Data::json);
                self.rpc(slot, id, &rpc.method, data, fx)
            }
            Request::Send(_) => Err(codes::NOT_AVAILABLE.into()),
            Request::Pong => Ok(()),
        }
    }

    // ---- connect

    fn connect(
        &mut self,
        slot: u32,
        id: u32,
        connect: &Connect<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let guest = guest_data(connect.data);
        if !connect.token.is_empty() {
            let user = self.verify(&connect.token, fx)?;
            let rooms = self.claimed_rooms(&user, connect)?;
            if let Some(session) = self.session(slot) {
                session.identity = Identity::User(Box::new(user));
            }
            self.join_claimed(slot, id, rooms, fx);
            return Ok(());
        } else if let Some(nick) = guest.nick.filter(|nick| !nick.is_empty()) {
            if !self.settings.guests {
                return Err(codes::UNAUTHORIZED.into());
            }
            if !auth::nick_allowed(&nick) {
                return Err(codes::BAD_REQUEST.into());
            }
            let proven = guest
                .resume
                .is_some_and(|proof| auth::resume_proven(&self.settings.keys, &nick, &proof));
            self.claim(slot, id, &nick, proven, fx);
            return Ok(());
        } else if !self.settings.anonymous {
            return Err(codes::UNAUTHORIZED.into());
        }
        self.connected(slot, id, Vec::new(), fx);
        Ok(())
    }

    fn verify(&self, token: &str, fx: &mut Effects) -> Result<auth::User, Refusal> {
        let now_s = self.now.unix_ms / 1_000;
        self.settings.verifier.connection(token, now_s).map_err(|error| match error {
            TokenError::Expired => Refusal::Error(codes::TOKEN_EXPIRED),
            TokenError::Ended => Refusal::Error(codes::EXPIRED_ERROR),
            TokenError::Invalid => Refusal::Close(codes::INVALID_TOKEN),
            TokenError::UnknownKey(id) => Refusal::Error(self.want_key(id, fx)),
        })
    }

    /// Asks the nick's home for it; the connection waits for the answer.
    pub(super) fn claim(&mut self, slot: u32, id: u32, nick: &str, proven: bool, fx: &mut Effects) {
        let from = self.origin(slot);
        if let Some(session) = self.session(slot) {
            session.wait = Wait::Nick(id);
        }
        let home = self.settings.home(&nicks::home_key(nick));
        self.tell(home, PeerMessage::Claim { nick: nick.to_owned(), from, proven }, fx);
    }

    /// The client is who it is: answers the connect command. `subs`: rooms that it is in already.
    pub(super) fn connected(&mut self, slot: u32, id: u32, subs: Vec<ServerSub>, fx: &mut Effects) {
        let interval = self.settings.config.client.ping_interval;
        let now_s = self.now.unix_ms / 1_000;
        let Some(session) = self.session(slot) else { return };
        session.connected = true;
        let client = session.client;
        let ttl_seconds = match &session.identity {
            Identity::User(user) => user.expires_at.map(|at| at.saturating_sub(now_s)),
            Identity::Guest(_) | Identity::Anonymous => None,
        };
        let guest = match &session.identity {
            Identity::Guest(nick) => Some(nick.clone()),
            Identity::User(_) | Identity::Anonymous => None,
        };
        let data = guest.map(|nick| {
            let resume = auth::resume_proof(&self.settings.keys, &nick);
            Bytes::from(serde_json::json!({ "nick": &*nick, "resume": resume }).to_string())
        });
        let result = ConnectResult {
            client: client.to_string(),
            version: VERSION.to_owned(),
            expires: ttl_seconds.is_some(),
            ttl: ttl_seconds.map_or(0, seconds),
            data: data.unwrap_or_default(),
            subs,
            ping: seconds(interval.as_secs().max(1)),
            pong: true,
        };
        self.reply(slot, &Reply::new(id, Body::Connect(result)), fx);
        let delay = self.first_beat_ms(client);
        self.set_beat(slot, Beat::Ping, delay);
    }

    fn refresh(
        &mut self,
        slot: u32,
        id: u32,
        token: &str,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let user = self.verify(token, fx)?;
        let ttl = user.expires_at.map(|at| at.saturating_sub(self.now.unix_ms / 1_000));
        let Some(session) = self.session(slot) else { return Ok(()) };
        match &mut session.identity {
            Identity::User(known) if known.id == user.id => known.expires_at = user.expires_at,
            _ => return Err(Refusal::Close(codes::INVALID_TOKEN)),
        }
        let result = RefreshResult {
            client: session.client.to_string(),
            version: VERSION.to_owned(),
            expires: ttl.is_some(),
            ttl: ttl.map_or(0, seconds),
        };
        self.arm(slot);
        self.reply(slot, &Reply::new(id, Body::Refresh(result)), fx);
        Ok(())
    }

    // ---- rooms

    fn subscribe(
        &mut self,
        slot: u32,
        id: u32,
        subscribe: &command::Subscribe<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let channel = subscribe.channel.as_ref();
        let user = self.user(slot);
        let grant = match subscribe.token.as_ref() {
            "" => {
                self.settings.permit(channel, &user, Operation::Subscribe, false)?;
                SubscriptionGrant::default()
            }
            token => self.granted(token, &user, channel, fx)?,
        };
        let limit = self.settings.config.client.channel_limit;
        if let (Some(&room), Some(session)) =
            (self.room_index.get(channel), self.sessions.get(slot as usize))
            && session.as_ref().is_some_and(|s| s.membership(room).is_some())
        {
            return Err(codes::ALREADY_SUBSCRIBED.into());
        }
        if self.session(slot).is_some_and(|s| s.rooms.len() >= limit) {
            return Err(codes::LIMIT_EXCEEDED.into());
        }
        let recover = subscribe.recover.then(|| (subscribe.epoch.to_string(), subscribe.offset));
        let &command::Subscribe { positioned, recoverable, join_leave, .. } = subscribe;
        let wishes = Wishes { positioned, recoverable, join_leave };
        let overrides = grant.overrides;
        let entry = Entry { id, recover, overrides, wishes, past_bytes_max: usize::MAX };
        self.join(slot, channel, entry, grant.into(), fx);
        Ok(())
    }

    /// Asks a room's home to count the connection as a member; permission has been checked.
    pub(super) fn join(
        &mut self,
        slot: u32,
        channel: &str,
        entry: Entry,
        grant: Grant,
        fx: &mut Effects,
    ) {
        let Entry { id, recover, overrides, wishes, past_bytes_max } = entry;
        let Some(Purpose::Chat(dialect)) = self.session(slot).map(|s| s.purpose) else { return };
        let user = self.user(slot);
        let Some(index) = self.room(channel) else { return };
        // Before the join: its home may be here, and answer at once.
        let own_info = self.keep_grant(slot, index, grant);
        let Some(room) = self.rooms.get_mut(index as usize) else { return };
        room.joining += 1;
        let terms = self.settings.terms(&room.options, channel, &user, overrides, wishes);
        let (name, home) = (room.name.clone(), room.home);
        let from = self.origin(slot);
        let past_bytes = self.past_bytes(slot).min(past_bytes_max);
        if let Some(session) = self.session(slot) {
            // An answer that may be large has the outbox to itself.
            if recover.is_some() && id > 0 {
                session.wait = Wait::Room(index);
            }
            session.rooms.reserve_exact(1);
            let stage = Stage::Joining;
            session.rooms.push(Membership { room: index, stage, terms, overrides, own_info });
        }
        let author = terms.known().then(|| self.author_in(slot, index));
        let join = Join { room: name, from, id, dialect, terms, recover, past_bytes, author };
        self.tell(home, PeerMessage::Join(Box::new(join)), fx);
    }

    fn publish_command(
        &mut self,
        slot: u32,
        id: u32,
        channel: &str,
        data: Data<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        match data {
            Data::Json(text) => {
                let text = json::pass_through(text).ok_or(codes::BAD_REQUEST)?;
                self.publish(slot, id, channel, Content::Json(&text), fx)?;
            }
            Data::Binary(bytes) => self.publish(slot, id, channel, Content::Binary(bytes), fx)?,
        }
        Ok(())
    }

    fn history(
        &mut self,
        slot: u32,
        id: u32,
        history: &command::History<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let channel = history.channel.as_ref();
        let member = self.is_member(slot, channel);
        let user = self.user(slot);
        let options = self.settings.permit(channel, &user, Operation::History, member)?;
        if options.history_size == 0 {
            return Err(codes::NOT_AVAILABLE.into());
        }
        let request = HistoryRequest {
            room: RoomName::from(channel),
            from: self.origin(slot),
            id,
            limit: history.limit,
            since: history.since.as_ref().map(|since| (since.epoch.to_string(), since.offset)),
            reverse: history.reverse,
            past_bytes: self.past_bytes(slot),
        };
        if let Some(session) = self.session(slot) {
            session.wait = Wait::Past;
        }
        self.tell(self.settings.home(channel), PeerMessage::History(Box::new(request)), fx);
        Ok(())
    }

    /// Bytes of the past for which the connection has room. An answer that did not fit would close
    /// it for being slow; it would come back, ask again, and be closed again. An eighth is left
    /// for what its rooms bring meanwhile.
    pub(super) fn past_bytes(&mut self, slot: u32) -> usize {
        let limit = self.settings.config.client.queue_max_size;
        let held = self.session(slot).map_or(0, |s| s.outbox.bytes());
        (limit - limit / 8).saturating_sub(held)
    }

    pub(super) fn is_member(&self, slot: u32, channel: &str) -> bool {
        let session = self.sessions.get(slot as usize).and_then(Option::as_ref);
        let room = self.room_index.get(channel);
        session.zip(room).is_some_and(|(session, room)| session.membership(*room).is_some())
    }

    pub(super) fn user(&mut self, slot: u32) -> String {
        self.session(slot).map(|s| s.identity.user()).unwrap_or_default()
    }
}

/// A guest's `connect.data`; anything else is the application's and not ours.
fn guest_data(data: Option<Data<'_>>) -> GuestData<'_> {
    let text = data.and_then(Data::json);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
