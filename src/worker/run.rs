//! What runs on a worker: a task that accepts, one for each connection, and the loop of the pump.

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::AsRawFd,
    pin::pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::Poll,
    time::Duration,
};

use monoio::net::TcpStream;

use super::{
    arrivals::Arrival,
    connection,
    listener::{Listener, stop_listening},
    local::{Local, guarded},
    phase::Phase,
    pump::{Pump, Turn},
    readiness::{GiveWay, Watch},
    runtime::Driver,
    socket::{Door, Socket},
    sockets::{Event, Sockets},
};
use crate::{http::forwarded::Peer, log::bell::Doze};

/// Connections accepted in a row on epoll, before they are served: there, accepting does not wait
/// as long as any are queued.
const ACCEPTS_IN_A_ROW: u32 = 32;

/// A worker that serves as many requests as it may looks again after this time.
const FULL_WAIT: Duration = Duration::from_millis(5);

/// Accepts connections, each with a task of its own, until the listener is shut down.
pub(super) async fn accept(
    local: Rc<Local>,
    listener: Listener,
    driver: Driver,
    phase: Arc<Phase>,
) {
    let Ok(door) = Door::new(listener) else { return };
    let fd = door.as_raw_fd();
    local.listeners.borrow_mut().push(fd);
    accept_all(&local, &door, driver, &phase).await;
    local.listeners.borrow_mut().retain(|other| *other != fd);
    local.nudge();
}

async fn accept_all(local: &Rc<Local>, door: &Door, driver: Driver, phase: &Phase) {
    let (mut failing, mut in_a_row) = (false, 0);
    while !local.draining.get() {
        if local.tasks.get() >= local.settings.requests_max {
            // They wait in the kernel until others are done, or have asked for nothing for longest.
            local.waits.shut_longest(local.now());
            monoio::time::sleep(FULL_WAIT).await;
            continue;
        }
        // Never dropped while it is pending: that would lose a connection.
        match door.accept().await {
            Ok((socket, peer)) => {
                failing = false;
                in_a_row += 1;
                if driver == Driver::Epoll && in_a_row >= ACCEPTS_IN_A_ROW {
                    in_a_row = 0;
                    monoio::time::sleep(Duration::ZERO).await;
                }
                serve(local, socket, peer, Vec::new());
            }
            // A listener that is shared may be shut down by another worker.
            Err(_) if !phase.is_running() => return,
            // Who came has left already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(
                        %error,
                        "accepting connections failed: is the limit on open files too low \
                         (ulimit -n)?"
                    );
                }
                monoio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Shown at once: the pump may sleep while requests come and go.
fn set_tasks(local: &Local, tasks: usize) {
    local.tasks.set(tasks);
    local.metrics().requests.set(tasks as u64);
}

/// Serves a connection with a task of its own.
fn serve(local: &Rc<Local>, socket: Socket, peer: Peer, received: Vec<u8>) {
    set_tasks(local, local.tasks.get() + 1);
    let local = Rc::clone(local);
    monoio::spawn(async move {
        guarded(connection::serve(Rc::clone(&local), socket, peer, received)).await;
        set_tasks(&local, local.tasks.get() - 1);
        if let Some(due) = local.leftovers.add(local.now()) {
            local.pump(|pump| pump.outside.set_timer(Some(due), local.now()));
        }
        if local.draining.get() || !local.arrivals.is_empty() {
            local.nudge();
        }
    });
}

/// Takes connections that the application accepted, as far as requests are served at a time. True
/// if there were any.
fn take_arrivals(local: &Rc<Local>, driver: Driver) -> bool {
    let mut took = false;
    loop {
        if local.draining.get() {
            while local.arrivals.pop().is_some() {}
            return took;
        }
        if local.tasks.get() >= local.settings.requests_max {
            if !local.arrivals.is_empty() {
                local.waits.shut_longest(local.now());
            }
            return took;
        }
        let Some(Arrival { stream, received }) = local.arrivals.pop() else { return took };
        took = true;
        // Operations on a ring wait by themselves; epoll needs sockets that do not.
        let settled = stream.set_nonblocking(driver == Driver::Epoll);
        let peer = settled.and_then(|()| stream.peer_addr());
        let taken = peer.and_then(|peer| Ok((TcpStream::from_std(stream)?, peer)));
        match taken {
            Ok((stream, peer)) => serve(local, Socket::Tcp(stream), peer.ip().into(), received),
            Err(error) => tracing::warn!(%error, "a connection that was handed over is closed"),
        }
    }
}

/// Turns without sends before others get their turn.
const TURNS_IN_A_ROW: u32 = 8;

/// The loop of a worker: looks at what the kernel and other threads have for the hub, gives the
/// pump a turn, and sleeps when there is nothing left to do. Returns at the end: whether nothing is
/// under way any more.
pub(super) async fn pump(
    local: Rc<Local>,
    watch: Watch,
    give_way: GiveWay,
    driver: Driver,
    phase: Arc<Phase>,
    drained: mpsc::Sender<usize>,
) -> bool {
    let bell = &local.exchange.port(local.worker).bell;
    let mut events = Vec::new();
    let mut doze = Doze::default();
    let mut in_a_row = 0;
    // Stays under way while tasks of this worker wake the pump.
    let mut readable = pin!(None);
    // The kernel may have something new. A nudge says nothing of that, and asking it costs as much
    // as all else that one request needs of the pump.
    let mut ask_kernel = true;
    loop {
        local.clear_nudge();
        let arrived = take_arrivals(&local, driver);
        let turn = turn(&local, &mut events, &mut ask_kernel);
        if doze.may_sleep(bell, turn.worked || arrived) {
            if !phase.is_running() {
                if !local.draining.get() {
                    begin_drain(&local);
                    doze.woke(bell);
                    continue;
                }
                let is_drained = is_drained(&local);
                if is_drained || phase.is_abandoned() {
                    // Nobody may wait for this any more.
                    let _ = drained.send(local.worker);
                    return is_drained;
                }
            }
            let leftovers = local.leftovers.give_back(local.now());
            let arrivals = (!local.arrivals.is_empty()).then(|| local.now() + FULL_WAIT);
            let next = [turn.next, leftovers, arrivals].into_iter().flatten().min();
            local.pump(|pump| pump.outside.set_timer(next, local.now()));
            let woken = poll_fn(|cx| {
                if local.poll_nudge(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                if readable.is_none() {
                    readable.set(Some(watch.readable()));
                }
                let woken = readable.as_mut().as_pin_mut().map(|readable| readable.poll(cx));
                if let Some(Poll::Ready(_)) = woken {
                    readable.set(None);
                    ask_kernel = true;
                }
                woken.unwrap_or(Poll::Ready(Ok(())))
            })
            .await;
            doze.woke(bell);
            in_a_row = 0;
            if woken.is_ok() {
                continue;
            }
        }
        in_a_row += 1;
        if turn.sent || in_a_row >= TURNS_IN_A_ROW {
            in_a_row = 0;
            give_way.wait().await;
            ask_kernel = true;
        }
    }
}

fn turn(local: &Local, events: &mut Vec<Event>, ask_kernel: &mut bool) -> Turn {
    local.pump(|pump| {
        events.clear();
        if *ask_kernel {
            let all = pump.outside.poll(|key| pump.hub.carrier(key), events);
            *ask_kernel = !all;
        }
        for event in &*events {
            match *event {
                Event::Writable(key) => pump.hub.writable(key),
                Event::Gone(key) => pump.hub.leave(key),
            }
        }
        let turn = pump.turn(local.now());
        show(local, pump, &turn);
        Turn { worked: turn.worked || *ask_kernel, ..turn }
    })
}

/// Shows what was counted.
fn show(local: &Local, pump: &Pump<Sockets>, turn: &Turn) {
    let metrics = local.metrics();
    metrics.turns.add(1);
    metrics.show(&pump.hub);
    metrics.sent_bytes.set(pump.outside.sent_bytes());
    let mut fan_outs = local.fan_outs.borrow_mut();
    if let Some(took) = turn.took {
        fan_outs.took(took, pump.hub.taken());
    }
    fan_outs.finished(pump.hub.finished(), &metrics.fan_out);
}

/// Serves no more requests than those under way, and sends subscribers away.
fn begin_drain(local: &Local) {
    local.draining.set(true);
    local.listeners.borrow().iter().for_each(stop_listening);
    local.waits.shut_idle();
    local.pump(|pump| {
        pump.hub.drain(local.settings.grace_period, local.now(), || local.random());
    });
}

fn is_drained(local: &Local) -> bool {
    local.tasks.get() == 0
        && local.listeners.borrow().is_empty()
        && local.pump(|pump| pump.hub.is_empty() && pump.publications() == 0)
}
