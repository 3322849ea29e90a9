use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use landbridge_registration::Registration;
use ruma::user_id;

use super::*;
use crate::{
    matrix::{Client, ClientHomeserver, RetryPolicy, Transport, TransportError},
    testing::{Fault, SimHomeserver, TestClock, names, registration},
};

const SERVER: &str = "localhost";

fn asking(transport: Arc<dyn Transport>, registration: &Registration, clock: &TestClock) -> Arc<Existence> {
    let names = names("test", SERVER);
    let client = Client::with_policy(transport, registration.as_token.clone(), RetryPolicy::once());
    let asked = ClientHomeserver::new(client, None, "test".to_owned(), names.bot.clone());
    Existence::new(Arc::new(asked), names, Arc::new(clock.clone()))
}

struct Scene {
    homeserver: SimHomeserver,
    registration: Registration,
    clock: TestClock,
    existence: Arc<Existence>,
}

impl Scene {
    fn new() -> Self {
        let (homeserver, registration) = (SimHomeserver::new(SERVER), registration("test", SERVER));
        homeserver.register(registration.clone());
        homeserver.user("alice");
        let clock = TestClock::default();
        let existence = asking(homeserver.transport(), &registration, &clock);
        Self { homeserver, registration, clock, existence }
    }

    /// One that asks by way of this transport.
    fn over(&self, transport: Arc<dyn Transport>) -> Arc<Existence> {
        asking(transport, &self.registration, &self.clock)
    }

    async fn exists(&self, user_id: &UserId) -> bool {
        self.existence.of(user_id).await.unwrap()
    }

    /// How often the homeserver was asked for a whole profile.
    fn asked(&self) -> usize {
        self.homeserver.requests().iter().filter(|it| it.contains("/profile/") && !it.contains("displayname")).count()
    }
}

#[tokio::test]
async fn who_has_a_profile_is_there_and_who_has_none_is_nobody() {
    let scene = Scene::new();
    assert!(scene.exists(user_id!("@alice:localhost")).await);
    assert!(!scene.exists(user_id!("@nobody:localhost")).await);
    assert!(!scene.exists(user_id!("@Alice:localhost")).await, "another id is somebody else");
}

#[tokio::test]
async fn who_has_neither_name_nor_picture_is_there_all_the_same() {
    let scene = Scene::new();
    scene.homeserver.user("alice").is_called("");
    assert!(scene.exists(user_id!("@alice:localhost")).await);
}

#[tokio::test]
async fn an_answer_holds_an_hour_for_who_is_there_and_a_minute_for_nobody() {
    let scene = Scene::new();
    let (alice, nobody) = (user_id!("@alice:localhost"), user_id!("@nobody:localhost"));
    let both = async || (scene.exists(alice).await, scene.exists(nobody).await);
    assert_eq!((both().await, both().await, scene.asked()), ((true, false), (true, false), 2));
    scene.homeserver.user("nobody");
    scene.clock.advance(Duration::from_secs(59));
    assert_eq!((both().await, scene.asked()), ((true, false), 2));
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!((both().await, scene.asked()), ((true, true), 3), "now there is such a user");
    scene.clock.advance(Duration::from_mins(59));
    assert_eq!((both().await, scene.asked()), ((true, true), 4), "the first is asked about again");
}

#[tokio::test]
async fn our_own_are_nobody_to_the_network_and_of_other_servers_users_nobody_is_asked() {
    let scene = Scene::new();
    for ours in [user_id!("@test_bob:localhost"), user_id!("@testbot:localhost")] {
        assert!(!scene.exists(ours).await);
    }
    assert!(scene.exists(user_id!("@nobody:elsewhere.test")).await);
    assert_eq!(scene.homeserver.requests().len(), 0);
}

#[tokio::test]
async fn who_cannot_be_told_from_somebody_is_somebody() {
    for fault in [
        Fault::Refused(StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        Fault::Refused(StatusCode::NOT_FOUND, "M_UNRECOGNIZED"),
        Fault::RateLimited(Duration::from_secs(1)),
        Fault::BadGateway,
        Fault::Unreachable,
        Fault::UnknownToken,
    ] {
        let scene = Scene::new();
        scene.homeserver.fail("/profile/", fault.clone());
        assert!(scene.exists(user_id!("@nobody:localhost")).await, "{fault:?}");
    }
}

#[tokio::test]
async fn a_homeserver_that_was_away_is_asked_again_after_a_minute_and_not_before() {
    let scene = Scene::new();
    scene.homeserver.fail("/profile/", Fault::BadGateway);
    let nobody = user_id!("@nobody:localhost");
    assert_eq!((scene.exists(nobody).await, scene.exists(nobody).await, scene.asked()), (true, true, 1));
    scene.clock.advance(Duration::from_mins(1));
    assert!(!scene.exists(nobody).await);
}

/// Lets questions through to a homeserver one by one.
#[derive(Debug)]
struct Slow {
    homeserver: Arc<dyn Transport>,
    let_go: Semaphore,
    waiting: watch::Sender<usize>,
}

#[async_trait::async_trait]
impl Transport for Slow {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.let_go.acquire().await.unwrap().forget();
        self.waiting.send_modify(|waiting| *waiting -= 1);
        self.homeserver.call(request).await
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once_and_few_at_a_time_and_at_the_bound_none() {
    let scene = Scene::new();
    let (let_go, waiting) = (Semaphore::new(0), watch::Sender::new(0));
    let slow = Arc::new(Slow { homeserver: scene.homeserver.transport(), let_go, waiting });
    let existence = scene.over(Arc::clone(&slow) as _);
    let user = |n: usize| OwnedUserId::try_from(format!("@n{n}:localhost")).unwrap();
    let ask = |user_id: OwnedUserId| {
        let existence = Arc::clone(&existence);
        tokio::spawn(async move { existence.of(&user_id).await })
    };
    // Nobody waits for these, and they are asked all the same.
    for n in 0..MOST_OPEN {
        assert_eq!(existence.of(&user(n)).now_or_never(), None);
    }
    slow.waiting.subscribe().wait_for(|waiting| *waiting == AT_ONCE).await.unwrap();
    assert_eq!(existence.of(&user(MOST_OPEN)).await, Err(Busy));
    assert_eq!(existence.of(user_id!("@n:elsewhere.test")).await, Ok(true), "who need not be asked about is answered");
    let together = [ask(user(0)), ask(user(0))];
    slow.let_go.add_permits(3 * MOST_OPEN);
    for answer in together {
        assert_eq!(answer.await.unwrap(), Ok(false));
    }
    assert_eq!(existence.of(&user(MOST_OPEN - 1)).await, Ok(false));
    assert_eq!(existence.of(&user(MOST_OPEN)).await, Ok(false), "there is room again");
    assert_eq!(scene.asked(), MOST_OPEN + 1);
}

#[test]
fn names_that_strangers_make_up_push_out_nobody_who_is_there() {
    let (mut known, now) = (Known::default(), Millis(0));
    let alice = user_id!("@alice:localhost");
    known.there.remember(alice.to_owned(), now, now + THERE);
    for n in 0..2 * MOST {
        let made_up = OwnedUserId::try_from(format!("@n{n}:localhost")).unwrap();
        known.nobody.remember(made_up, now, now + OTHERWISE);
        assert!(known.nobody.0.len() <= MOST);
    }
    assert!(known.there.hold(alice, now));
}
