//! Questions that many ask at once, answered together.
//!
//! After a restart thousands of clients come back within seconds, and each of them makes the server ask the database the
//! same few things. So whoever asks takes a place in a line, and one task takes all that wait, asks the database once for
//! all of them, and hands out the answers. While it waits for the database the next ones gather by themselves: nobody
//! waits for company.

use crate::error::{Error, Result};
use futures_util::FutureExt;
use std::{future::Future, panic::AssertUnwindSafe, time::Duration};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::timeout,
};

/// Most questions that are answered together.
const TOGETHER: usize = 256;

/// A line of questions of one kind. It is as long as there are callers: each waits for its answer.
pub struct Gathering<Q, A> {
    line: UnboundedSender<Asked<Q, A>>,
}

struct Asked<Q, A> {
    question: Q,
    reply: oneshot::Sender<Result<A>>,
}

impl<Q: Clone + Send + 'static, A: Send + 'static> Gathering<Q, A> {
    /// Starts the task that answers, which ends with the line. `answer` gives one answer for each question, in their order.
    pub fn start<F>(patience: Duration, answer: impl Fn(Vec<Q>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let (line, waiting) = unbounded_channel();
        tokio::spawn(serve(waiting, patience, answer));
        Self { line }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Those of the answer, `UNAVAILABLE` when it takes too long.
    pub async fn ask(&self, question: Q) -> Result<A> {
        let (reply, answer) = oneshot::channel();
        self.line.send(Asked { question, reply }).map_err(|_| Error::Unavailable)?;
        answer.await.unwrap_or(Err(Error::Unavailable))
    }
}

async fn serve<Q: Clone, A, F>(mut waiting: UnboundedReceiver<Asked<Q, A>>, patience: Duration, answer: impl Fn(Vec<Q>) -> F)
where
    F: Future<Output = Result<Vec<A>>>,
{
    let answer = async |questions| {
        let answers = AssertUnwindSafe(timeout(patience, answer(questions))).catch_unwind().await;
        answers.map_or_else(|_| Err(Error::panicked()), |in_time| in_time.unwrap_or(Err(Error::Unavailable)))
    };
    let mut asked = Vec::new();
    while waiting.recv_many(&mut asked, TOGETHER).await > 0 {
        // Who no longer waits need not be answered.
        asked.retain(|asked: &Asked<Q, A>| !asked.reply.is_closed());
        match answer(asked.iter().map(|asked| asked.question.clone()).collect()).await {
            Ok(answers) => {
                for (asked, answer) in asked.drain(..).zip(answers) {
                    let _ = asked.reply.send(Ok(answer));
                }
            }
            // Without the database there is no answer for anybody.
            Err(Error::Unavailable) => asked.drain(..).for_each(|asked| drop(asked.reply.send(Err(Error::Unavailable)))),
            // One question that cannot be answered must not be the trouble of the others.
            Err(_) => {
                for Asked { question, reply } in asked.drain(..) {
                    let alone = answer(vec![question]).await;
                    let _ = reply.send(alone.and_then(|mut answers| answers.pop().ok_or_else(|| Error::internal("a question without an answer"))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn what_is_asked_at_once_is_answered_together_and_each_with_its_own() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = sizes.clone();
        let doubles = Gathering::start(Duration::from_secs(5), move |numbers: Vec<u64>| {
            seen.lock().unwrap().push(numbers.len());
            async move { Ok(numbers.into_iter().map(|number| 2 * number).collect()) }
        });

        let answers = join_all((0..100).map(|number| doubles.ask(number))).await;

        assert!(answers.into_iter().map(Result::unwrap).eq((0..100).map(|number| 2 * number)));
        assert!(sizes.lock().unwrap().len() < 10, "{sizes:?}");
    }

    #[tokio::test]
    async fn a_question_that_cannot_be_answered_is_nobody_elses_trouble() {
        let gathering = Gathering::start(Duration::from_millis(200), |words: Vec<&'static str>| async move {
            match words.iter().find(|word| **word != "good") {
                Some(&"bad") => Err(Error::internal("a bad word")),
                Some(&"worst") => panic!("the worst of words"),
                Some(_) => std::future::pending().await,
                None => Ok(words),
            }
        });

        let answers = join_all(["good", "bad", "good", "worst"].map(|word| gathering.ask(word))).await;

        assert!(matches!(answers[..], [Ok("good"), Err(Error::Internal(_)), Ok("good"), Err(Error::Internal(_))]), "{answers:?}");
        assert!(matches!(gathering.ask("late").await, Err(Error::Unavailable)));
        assert!(gathering.ask("good").await.is_ok());
    }
}
