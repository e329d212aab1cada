//! The first numbers of the engine, each taken from a hub of its own.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::{
    floor::Floor,
    hub::{Hub, Options, publication, publisher_token, subscription},
    machine,
    swarm::Swarm,
};

/// Prints a line. Nobody may read it any more.
macro_rules! report {
    ($($part:tt)*) => {
        let _ = writeln!(io::stdout(), $($part)*);
    };
}

const DATA_LEN: usize = 100;
const ROUNDS: usize = 200;

pub(crate) fn measure(options: &Options) -> io::Result<()> {
    machine::raise_open_files();
    machine::pin_to(1);
    idle_memory(options, 10_000)?;
    deliveries(options, 1_000, 1)?;
    deliveries(options, 1_000, 4)?;
    for under_way in [1, 64] {
        publications(options, under_way)?;
    }
    Ok(())
}

/// Memory and CPU of subscribers that only wait.
fn idle_memory(options: &Options, count: usize) -> io::Result<()> {
    let hub = Hub::start(options)?;
    // The first connections pay for what is made once.
    let mut first = Swarm::open(hub.addr, 100, &subscription("t"))?;
    first.wait_for_answers()?;
    thread::sleep(Duration::from_millis(500));
    let (memory, cpu) = (machine::pss(hub.pid())?, machine::process_cpu(hub.pid())?);
    let mut swarm = Swarm::open(hub.addr, count, &subscription("t"))?;
    swarm.wait_for_answers()?;
    thread::sleep(Duration::from_millis(500));
    let bytes = (machine::pss(hub.pid())? - memory) as f64 / count as f64;
    let cpu = (machine::process_cpu(hub.pid())? - cpu).as_secs_f64() * 1e6 / count as f64;
    report!("idle subscriber ({count}, one topic)        {bytes:8.1} bytes (PSS)");
    report!("new subscriber                              {cpu:8.2} us CPU");
    Ok(())
}

/// CPU for each delivery, by turns with the floor. `waiting`: updates that are published at once.
fn deliveries(options: &Options, count: usize, waiting: usize) -> io::Result<()> {
    let hub = Hub::start(options)?;
    let token = publisher_token();
    let mut swarm = Swarm::open(hub.addr, count, &subscription("t"))?;
    swarm.wait_for_answers()?;
    // A connection for each, since requests of one are answered one after the other.
    let mut publishers =
        (0..waiting).map(|_| Publisher::open(&hub, &token, "t")).collect::<io::Result<Vec<_>>>()?;
    let frame_len = frame_len();
    let mut floor = Floor::start(count)?;
    let (mut of_hub, mut of_floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_floor.push(floor.round(vec![b'x'; frame_len])?.as_secs_f64() / count as f64);
        let before = machine::process_cpu(hub.pid())?;
        publishers.iter_mut().try_for_each(|publisher| publisher.send(1))?;
        let frames = (count * waiting) as u64;
        swarm.receive_until(swarm.received + frames * frame_len as u64)?;
        publishers.iter_mut().try_for_each(|publisher| publisher.receive(1))?;
        thread::sleep(Duration::from_millis(2));
        let cost = machine::process_cpu(hub.pid())? - before;
        of_hub.push(cost.as_secs_f64() / frames as f64);
    }
    let (hub, floor) = (median(&mut of_hub) * 1e6, median(&mut of_floor) * 1e6);
    report!(
        "delivery ({count} subscribers, {waiting} waiting)       {hub:8.2} us CPU, \
         {:5.2} x a bare send ({floor:.2} us)",
        hub / floor
    );
    Ok(())
}

/// CPU for each publication that nobody is subscribed to.
fn publications(options: &Options, under_way: usize) -> io::Result<()> {
    const COUNT: usize = 20_000;
    let hub = Hub::start(options)?;
    let token = publisher_token();
    let mut publishers = (0..under_way)
        .map(|i| Publisher::open(&hub, &token, &format!("t{i}")))
        .collect::<io::Result<Vec<_>>>()?;
    let mut round = |count: usize| -> io::Result<()> {
        for _ in 0..count / under_way {
            publishers.iter_mut().try_for_each(|publisher| publisher.send(1))?;
            publishers.iter_mut().try_for_each(|publisher| publisher.receive(1))?;
        }
        Ok(())
    };
    round(COUNT / 10)?;
    let before = machine::process_cpu(hub.pid())?;
    let start = std::time::Instant::now();
    round(COUNT)?;
    let cost = machine::process_cpu(hub.pid())? - before;
    let each = cost.as_secs_f64() * 1e6 / COUNT as f64;
    let rate = COUNT as f64 / start.elapsed().as_secs_f64();
    report!(
        "publication ({under_way:2} under way)                  {each:8.2} us CPU, \
         {rate:7.0} a second"
    );
    Ok(())
}

/// The bytes of a delivery: chunk, id, data.
fn frame_len() -> usize {
    let event = "id: urn:uuid:00000000-0000-0000-0000-000000000000\ndata: \n\n".len() + DATA_LEN;
    format!("{event:x}\r\n").len() + event + "\r\n".len()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A connection that publishes.
struct Publisher {
    stream: TcpStream,
    request: Vec<u8>,
    received: Vec<u8>,
}

impl Publisher {
    fn open(hub: &Hub, token: &str, topic: &str) -> io::Result<Publisher> {
        let stream = TcpStream::connect(hub.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = publication(token, topic, DATA_LEN);
        Ok(Publisher { stream, request, received: Vec::new() })
    }

    /// Sends requests, in one write.
    fn send(&mut self, count: usize) -> io::Result<()> {
        self.stream.write_all(&self.request.repeat(count))
    }

    /// Waits for their answers.
    fn receive(&mut self, count: usize) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let answers = |received: &[u8]| {
            received.windows(13).filter(|window| *window == b"HTTP/1.1 200 ").count()
        };
        // The id is the last thing of an answer, and of fixed length.
        while answers(&self.received) < count || !self.received.ends_with_id() {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                return Err(io::Error::other("the hub closed a publisher's connection"));
            }
            self.received.extend_from_slice(&buffer[..read]);
        }
        self.received.clear();
        Ok(())
    }
}

trait EndsWithId {
    fn ends_with_id(&self) -> bool;
}

impl EndsWithId for Vec<u8> {
    fn ends_with_id(&self) -> bool {
        self.len() > 45 && self[self.len() - 45..].starts_with(b"urn:uuid:")
    }
}
