//! Priority, processor and locked memory for the line thread, which must not be late.

use config::line::LineSettings;
use log::{info, warn};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::thread::{CpuSet, sched_setaffinity};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Gives this thread its priority, its processor and locked memory. The log names each that the system refuses: the line then works, but
/// its pulses are less exact.
pub fn prepare(settings: &LineSettings) {
    if settings.priority > 0 {
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        let priority = ThreadPriorityValue::try_from(settings.priority).map(ThreadPriority::Crossplatform);
        let set = priority.map(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy));
        match set {
            Ok(Ok(())) => info!("line thread: SCHED_FIFO, priority {}", settings.priority),
            _ => warn!(
                "line thread: no SCHED_FIFO priority {}: pulses may be late when the processor is busy; LimitRTPRIO in the unit allows it",
                settings.priority
            ),
        }
    }
    if let Some(cpu) = settings.cpu {
        let mut set = CpuSet::new();
        let fits = cpu < CpuSet::MAX_CPU;
        if fits {
            set.set(cpu);
        }
        if !fits || sched_setaffinity(None, &set).is_err() {
            warn!("line thread: cannot be bound to processor {cpu}: does it exist?");
        }
    }
    if settings.priority > 0
        && let Err(error) = mlockall(MlockAllFlags::CURRENT)
    {
        warn!("line thread: memory is not locked ({error}): LimitMEMLOCK in the unit allows it");
    }
}
