//! What holds where an operator says nothing. The reason for a value stands in docs/configuration.md.

use super::*;

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))],
            workers: 0,
            echo: false,
            client: ClientConfig::default(),
            websocket: WebSocketConfig::default(),
            channel: ChannelConfig::default(),
            presence: PresenceConfig::default(),
            fanout: FanoutConfig::default(),
            http_server: HttpConfig::default(),
            http_api: HttpApiConfig::default(),
            shutdown: ShutdownConfig::default(),
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            allowed_origins: Vec::new(),
            insecure: false,
            allow_guests: None,
            allow_anonymous_connect_without_token: None,
            token: TokenConfig::default(),
            subscription_token: SubscriptionTokenConfig::default(),
            connection_limit: 0,
            connection_limit_per_address: 0,
            channel_limit: 128,
            queue_max_size: 1024 * 1024,
            queue_total_max_size: 1024 * 1024 * 1024,
            command_rate_limit: 1_000,
            command_rate_burst: 2_000,
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            nick_grace: Duration::from_secs(30),
        }
    }
}

impl Default for TokenConfig {
    fn default() -> Self {
        TokenConfig {
            hmac_secret_key: String::new(),
            rsa_public_key: String::new(),
            ecdsa_public_key: String::new(),
            jwks_public_endpoint: String::new(),
            jwks_file: String::new(),
            jwks_refresh: Duration::from_secs(5 * 60),
            jwks_refresh_min_interval: Duration::from_secs(10),
            audience: String::new(),
            issuer: String::new(),
        }
    }
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        WebSocketConfig { message_size_limit: 64 * 1024 }
    }
}

impl Default for ChannelConfig {
    fn default() -> Self {
        let open = NamespaceOptions {
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: true,
            allow_publish_for_client: true,
            allow_publish_for_subscriber: true,
            allow_publish_for_anonymous: true,
            allow_history_for_subscriber: true,
            allow_history_for_anonymous: true,
            ..NamespaceOptions::default()
        };
        let chat = NamespaceOptions {
            chat: true,
            history_size: 500,
            history_ttl: Duration::from_secs(24 * 3600),
            force_recovery: true,
            presence: true,
            join_leave: true,
            allow_presence_for_subscriber: true,
            force_push_join_leave: true,
            allow_publish_for_client: false,
            allow_presence_for_anonymous: true,
            ..open.clone()
        };
        let dm = NamespaceOptions {
            allow_user_limited_channels: true,
            allow_subscribe_for_client: false,
            allow_subscribe_for_anonymous: false,
            allow_publish_for_anonymous: false,
            allow_history_for_anonymous: false,
            allow_presence_for_anonymous: false,
            ..chat.clone()
        };
        let typing = NamespaceOptions {
            droppable: true,
            allow_user_limited_channels: true,
            allow_publish_for_client: false,
            ..open.clone()
        };
        ChannelConfig {
            max_length: 255,
            rooms_max: 1_000_000,
            nonces_max: 1_000_000,
            slow_mode_max: 1_000_000,
            // 500 publications, the history of a chat room, of the largest size there is: 64 KiB.
            history_room_max_size: 64 * 1024 * 1024,
            history_meta_ttl: Duration::ZERO,
            history_total_max_size: 1024 * 1024 * 1024,
            recovery_max_publication_limit: 300,
            without_namespace: open,
            namespaces: vec![
                Namespace { name: "chat".into(), options: chat },
                Namespace { name: "dm".into(), options: dm },
                Namespace { name: "typing".into(), options: typing },
            ],
        }
    }
}

impl Default for NamespaceOptions {
    /// Everything is off: what a namespace that an operator adds starts with.
    fn default() -> Self {
        NamespaceOptions {
            chat: false,
            text_size_limit: 64 * 1024,
            slow_mode: Duration::ZERO,
            history_size: 0,
            history_ttl: Duration::ZERO,
            history_meta_ttl: Duration::ZERO,
            force_positioning: false,
            force_recovery: false,
            force_recovery_mode: RecoveryMode::Stream,
            presence: false,
            join_leave: false,
            force_push_join_leave: false,
            droppable: false,
            channel_regex: String::new(),
            allow_user_limited_channels: false,
            allow_subscribe_for_client: false,
            allow_subscribe_for_anonymous: false,
            allow_publish_for_client: false,
            allow_publish_for_subscriber: false,
            allow_publish_for_anonymous: false,
            allow_history_for_client: false,
            allow_history_for_subscriber: false,
            allow_history_for_anonymous: false,
            allow_presence_for_client: false,
            allow_presence_for_subscriber: false,
            allow_presence_for_anonymous: false,
        }
    }
}

impl Default for PresenceConfig {
    fn default() -> Self {
        PresenceConfig { announce_max: 100, grace: Duration::from_secs(5), max_members: 1_000 }
    }
}

impl Default for FanoutConfig {
    fn default() -> Self {
        FanoutConfig { max_delay: Duration::ZERO, gather_rooms: true }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            connection_limit: 1024,
            head_timeout: Duration::from_secs(10),
            head_size_limit: 16 * 1024,
            idle_timeout: Duration::from_secs(75),
            internal_port: 0,
            internal_address: String::new(),
        }
    }
}

impl Default for HttpApiConfig {
    fn default() -> Self {
        HttpApiConfig {
            key: String::new(),
            body_size_limit: 1024 * 1024,
            timeout: Duration::from_secs(10),
            idempotency_keys_max: 100_000,
            error_mode: ErrorMode::Body,
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        ShutdownConfig { spread: Duration::from_secs(1), timeout: Duration::from_secs(30) }
    }
}
