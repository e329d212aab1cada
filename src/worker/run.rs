//! What runs on a worker: a task that accepts, one for each connection, and the loop of the pump.

use std::{
    future::{Future, poll_fn},
    net::TcpListener,
    os::fd::AsRawFd,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::Poll,
    time::Duration,
};

use super::{
    connection,
    listener::stop_listening,
    local::{Local, guarded},
    pump::Turn,
    readiness::{GiveWay, Watch},
    runtime::Driver,
    sockets::Event,
};
use crate::log::bell::Doze;

/// Connections accepted in a row on epoll, before they are served: there, accepting does not wait
/// as long as any are queued.
const ACCEPTS_IN_A_ROW: u32 = 32;

/// Accepts connections, each with a task of its own, until the listener is shut down.
pub(super) async fn accept(local: Rc<Local>, listener: TcpListener, driver: Driver) {
    let Ok(listener) = monoio::net::TcpListener::from_std(listener) else { return };
    local.listeners.borrow_mut().push(listener.as_raw_fd());
    let (mut failing, mut in_a_row) = (false, 0);
    while !local.draining.get() {
        if local.tasks.get() >= local.settings.requests_max {
            // They wait in the kernel until others are done, or have asked for nothing for longest.
            local.waits.shut_longest(local.now());
            monoio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        // Never dropped while it is pending: that would lose a connection.
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                in_a_row += 1;
                if driver == Driver::Epoll && in_a_row >= ACCEPTS_IN_A_ROW {
                    in_a_row = 0;
                    monoio::time::sleep(Duration::ZERO).await;
                }
                local.tasks.set(local.tasks.get() + 1);
                let local = Rc::clone(&local);
                monoio::spawn(async move {
                    guarded(connection::serve(Rc::clone(&local), stream)).await;
                    local.tasks.set(local.tasks.get() - 1);
                    if let Some(due) = local.leftovers.add(local.now()) {
                        local.pump(|pump| pump.outside.set_timer(Some(due), local.now()));
                    }
                    if local.draining.get() {
                        local.nudge();
                    }
                });
            }
            Err(_) if local.draining.get() => return,
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

/// Turns without sends before others get their turn.
const TURNS_IN_A_ROW: u32 = 8;

/// The loop of a worker: looks at what the kernel and other threads have for the hub, gives the
/// pump a turn, and sleeps when there is nothing left to do.
pub(super) async fn pump(
    local: Rc<Local>,
    watch: Watch,
    give_way: GiveWay,
    draining: Arc<AtomicBool>,
    drained: mpsc::Sender<usize>,
) {
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
        let turn = turn(&local, &mut events, &mut ask_kernel);
        if doze.may_sleep(bell, turn.worked) {
            if draining.load(Ordering::Acquire) {
                if !local.draining.get() {
                    begin_drain(&local);
                    doze.woke(bell);
                    continue;
                }
                if is_drained(&local) {
                    // The main thread may have stopped waiting.
                    let _ = drained.send(local.worker);
                    return;
                }
            }
            let leftovers = local.leftovers.give_back(local.now());
            let next = [turn.next, leftovers].into_iter().flatten().min();
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
        Turn { worked: turn.worked || *ask_kernel, ..turn }
    })
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
    local.tasks.get() == 0 && local.pump(|pump| pump.hub.is_empty() && pump.publications() == 0)
}
