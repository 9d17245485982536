//! Which processor each computing thread runs on.
//!
//! A thread that is woken may start on the processor of the thread that woke it. The two share that processor until the scheduler moves
//! one of them, some milliseconds later: a small network takes no longer. With as many threads as processors, each thread is therefore
//! bound to a processor of its own. With fewer threads the scheduler has room, and knows better what else runs.

use std::sync::OnceLock;

use rayon::ThreadPoolBuilder;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A pool for everything that a detector computes; 0 is one thread for each processor. Call it before the program binds threads itself.
pub fn pool(threads: usize) -> ThreadPoolBuilder {
    let threads = if threads == 0 { processors().len() } else { threads };
    ThreadPoolBuilder::new().num_threads(threads).start_handler(move |thread| {
        if let Some(processor) = of_threads(threads).and_then(|processors| processors.get(thread)) {
            bind(&only(*processor));
        }
    })
}

/// The processor of each thread, if there are `threads` of them; none if the scheduler places them.
pub(crate) fn of_threads(threads: usize) -> Option<&'static [usize]> {
    (threads > 1 && threads == processors().len()).then_some(processors())
}

/// Keeps the calling thread on one processor until it is dropped.
#[cfg(feature = "ort")]
pub(crate) struct Stay {
    before: Option<CpuSet>,
}

#[cfg(feature = "ort")]
impl Stay {
    /// Binds the calling thread to a processor.
    pub(crate) fn on(processor: usize) -> Stay {
        let before = sched_getaffinity(None).ok();
        if before.is_some() {
            bind(&only(processor));
        }
        Stay { before }
    }
}

#[cfg(feature = "ort")]
impl Drop for Stay {
    fn drop(&mut self) {
        self.before.iter().for_each(bind);
    }
}

/// The processors that this process may use.
fn processors() -> &'static [usize] {
    static PROCESSORS: OnceLock<Vec<usize>> = OnceLock::new();
    PROCESSORS.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap_or_default();
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect();
        // The machine has more processors than the set can hold.
        if allowed.is_empty() { (0..std::thread::available_parallelism().map_or(1, usize::from)).collect() } else { allowed }
    })
}

fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    if processor < CpuSet::MAX_CPU {
        set.set(processor);
    }
    set
}

/// A thread that may not be bound runs where the scheduler puts it: slower at times, never wrong.
fn bind(set: &CpuSet) {
    if let Err(error) = sched_setaffinity(None, set) {
        log::debug!("a thread cannot be bound to a processor: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_has_a_processor_for_each_thread() {
        let all = processors().len();
        let places = |threads: usize| -> Vec<u32> {
            let pool = pool(threads).build().unwrap();
            assert_eq!(pool.current_num_threads(), if threads == 0 { all } else { threads });
            pool.broadcast(|_| sched_getaffinity(None).unwrap().count())
        };
        if all > 1 {
            assert_eq!(places(0), vec![1; all]);
        }
        assert_eq!(places(all + 1), vec![all as u32; all + 1], "more threads than processors are free");
    }

    #[test]
    #[cfg(feature = "ort")]
    fn a_thread_stays_and_is_free_again() {
        let before = sched_getaffinity(None).unwrap();
        let processor = *processors().last().unwrap();
        let stay = Stay::on(processor);
        let bound = sched_getaffinity(None).unwrap();
        assert!(bound.count() == 1 && bound.is_set(processor));
        drop(stay);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
