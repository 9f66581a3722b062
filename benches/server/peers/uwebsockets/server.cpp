// A broadcast server on uWebSockets, to measure ringchat beside it: takes any WebSocket upgrade and
// sends each message as it came to everybody who is connected under the same path, the sender too.
// One thread, epoll. Usage: server PORT [topics]; listens on 127.0.0.1.
//
// What is said in a round of the event loop is sent when the round ends: to each member all of it,
// through the library's cork buffer, which leaves with one send for every 16 KiB.
//
// With `topics` the library's own topics do this. They hold at most 32 messages for a member: the
// 33rd that comes with one `recv` makes them send those at once, while the speaker's socket has the
// cork buffer, and each message to any other member is a send of its own then.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "App.h"

namespace {

// What is kept of each connection.
struct Member {
    struct Room *room;
};

using Socket = uWS::WebSocket<false, true, Member>;

struct Message {
    std::string text;
    uWS::OpCode kind;
};

struct Room {
    std::string path;
    std::vector<Socket *> members;
    // What was said in this round.
    std::vector<Message> said;
};

// By path. A room stays when all have left it.
std::unordered_map<std::string, Room> rooms;
// Rooms in which something was said in this round.
std::vector<Room *> spoken;

void flush() {
    for (Room *room : spoken) {
        for (Socket *member : room->members) {
            member->cork([=] {
                for (const Message &message : room->said) member->send(message.text, message.kind);
            });
        }
        room->said.clear();
    }
    spoken.clear();
}

}  // namespace

int main(int argc, char **argv) {
    const int port = argc > 1 ? std::atoi(argv[1]) : 0;
    const bool topics = argc > 2 && std::string_view(argv[2]) == "topics";
    if (port < 1 || port > 65535 || argc > (topics ? 3 : 2)) {
        std::fprintf(stderr, "usage: %s PORT [topics]\n", argv[0]);
        return 2;
    }

    // The library writes messages of 16 KiB and more in a way that raises it if the peer has gone.
    std::signal(SIGPIPE, SIG_IGN);

    uWS::App app;
    app.ws<Member>("/*", {
        .compression = uWS::DISABLED,
        // More than the longest text that the generator sends (60,000 bytes).
        .maxPayloadLength = 1024 * 1024,
        // Connections may be idle for as long as they like. Pings have to be off as well then: the
        // library subtracts what it gives them from this.
        .idleTimeout = 0,
        // No limit: above one, messages are left out and no client is told.
        .maxBackpressure = 0,
        .sendPingsAutomatically = false,
        .upgrade = [](auto *response, auto *request, auto *context) {
            const std::string path(request->getUrl());
            Room &room = rooms.try_emplace(path, Room{path, {}, {}}).first->second;
            response->template upgrade<Member>({&room}, request->getHeader("sec-websocket-key"),
                                               request->getHeader("sec-websocket-protocol"),
                                               request->getHeader("sec-websocket-extensions"),
                                               context);
        },
        .open = [topics](Socket *socket) {
            Room *room = socket->getUserData()->room;
            if (topics) {
                socket->subscribe(room->path);
            } else {
                room->members.push_back(socket);
            }
        },
        .message = [topics, &app](Socket *socket, std::string_view text, uWS::OpCode kind) {
            Room *room = socket->getUserData()->room;
            if (topics) {
                // The app's: a socket's own publish leaves that socket out.
                app.publish(room->path, text, kind);
                return;
            }
            if (room->said.empty()) spoken.push_back(room);
            room->said.push_back({std::string(text), kind});
        },
        .close = [](Socket *socket, int, std::string_view) {
            std::erase(socket->getUserData()->room->members, socket);
        },
    });
    uWS::Loop::get()->addPostHandler(&rooms, [](uWS::Loop *) { flush(); });

    bool listens = false;
    app.listen("127.0.0.1", port, [&listens](auto *listener) { listens = listener != nullptr; });
    if (!listens) {
        std::fprintf(stderr, "cannot listen on 127.0.0.1:%d\n", port);
        return 1;
    }
    app.run();
}
