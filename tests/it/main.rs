//! The black-box suite: the real binary over real HTTP and real Socket.IO frames, one file a feature.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod arrivals;
mod attack_load;
mod attack_races;
mod auth;
mod backlog;
mod bad_bodies;
mod bad_input;
mod bad_tokens;
mod claims;
mod cli;
mod compat;
mod concurrency;
mod config;
mod connect;
mod cors;
mod database;
mod depth;
mod dev;
mod durability;
mod embedded;
mod history;
mod idempotency;
mod journal;
mod logs;
mod members;
mod membership;
mod messages;
mod node;
mod order;
mod outage;
mod presence;
mod receipts;
mod rest;
mod rooms;
mod seed_flow;
mod sessions;
mod slow;
mod subscriptions;
mod text;
mod typing;
mod unread;
