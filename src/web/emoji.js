// Emoji by name, as in `:tada:`.
//
// Owns: the names. It never touches the page. Tested by tests/web/format.test.mjs.

/** "name emoji name emoji ...": the first ones are offered for reactions. */
const NAMES = `+1 👍 heart ❤️ joy 😂 tada 🎉 open_mouth 😮 cry 😢 pray 🙏 eyes 👀 fire 🔥 rocket 🚀
100 💯 thinking 🤔 clap 👏 white_check_mark ✅ x ❌ -1 👎 smile 😄 wave 👋 ok_hand 👌 muscle 💪 star ⭐
sob 😭 rofl 🤣 sunglasses 😎 grin 😁 grinning 😀 smiley 😃 laughing 😆 sweat_smile 😅
slightly_smiling_face 🙂 upside_down 🙃 wink 😉 blush 😊 innocent 😇 heart_eyes 😍 star_struck 🤩
kissing_heart 😘 yum 😋 stuck_out_tongue 😛 zany_face 🤪 hugs 🤗 shushing_face 🤫 zipper_mouth 🤐
neutral_face 😐 expressionless 😑 smirk 😏 unamused 😒 roll_eyes 🙄 grimacing 😬 relieved 😌 pensive 😔
sleepy 😪 sleeping 😴 mask 😷 nauseated_face 🤢 hot_face 🥵 cold_face 🥶 dizzy_face 😵
exploding_head 🤯 partying_face 🥳 nerd_face 🤓 confused 😕 worried 😟 frowning ☹️ hushed 😯
astonished 😲 flushed 😳 pleading_face 🥺 fearful 😨 cold_sweat 😰 scream 😱 disappointed 😞 sweat 😓
weary 😩 tired_face 😫 yawning_face 🥱 triumph 😤 rage 😡 angry 😠 skull 💀 poop 💩 clown_face 🤡 ghost 👻
alien 👽 robot 🤖 cat 🐱 dog 🐶 see_no_evil 🙈 monkey 🐒 unicorn 🦄 bee 🐝 bug 🐛 turtle 🐢 snake 🐍
octopus 🐙 crab 🦀 whale 🐳 fish 🐟 penguin 🐧 bird 🐦 bear 🐻 fox 🦊 mouse 🐭 rabbit 🐰 pig 🐷 frog 🐸
broken_heart 💔 orange_heart 🧡 yellow_heart 💛 green_heart 💚 blue_heart 💙 purple_heart 💜
black_heart 🖤 sparkling_heart 💖 boom 💥 sparkles ✨ zap ⚡ sweat_drops 💦 dash 💨 zzz 💤 v ✌️
crossed_fingers 🤞 metal 🤘 point_left 👈 point_right 👉 point_up 👆 point_down 👇 raised_hand ✋
fist ✊ punch 👊 handshake 🤝 raised_hands 🙌 open_hands 👐 writing_hand ✍️ shrug 🤷 facepalm 🤦 brain 🧠
sunny ☀️ cloud ☁️ umbrella ☔ snowflake ❄️ snowman ⛄ rainbow 🌈 ocean 🌊 earth_africa 🌍 moon 🌙
christmas_tree 🎄 rose 🌹 sunflower 🌻 seedling 🌱 four_leaf_clover 🍀 cactus 🌵 apple 🍎 banana 🍌
strawberry 🍓 pizza 🍕 hamburger 🍔 fries 🍟 bread 🍞 cheese 🧀 cookie 🍪 cake 🍰 birthday 🎂 coffee ☕ tea 🍵
beer 🍺 beers 🍻 wine_glass 🍷 champagne 🍾 bike 🚲 car 🚗 bus 🚌 train 🚆 airplane ✈️ house 🏠 gift 🎁
balloon 🎈 trophy 🏆 medal 🏅 soccer ⚽ basketball 🏀 dart 🎯 video_game 🎮 guitar 🎸 musical_note 🎵
headphones 🎧 movie_camera 🎥 camera 📷 phone 📞 computer 💻 keyboard ⌨️ bulb 💡 battery 🔋 mag 🔍 lock 🔒
unlock 🔓 key 🔑 hammer 🔨 wrench 🔧 gear ⚙️ link 🔗 paperclip 📎 pushpin 📌 memo 📝 pencil2 ✏️ book 📖
books 📚 email 📧 package 📦 calendar 📅 chart 📈 clipboard 📋 wastebasket 🗑️ hourglass ⏳ alarm_clock ⏰
bell 🔔 no_bell 🔕 loudspeaker 📢 speech_balloon 💬 warning ⚠️ construction 🚧 no_entry ⛔ question ❓
exclamation ❗ heavy_check_mark ✔️ arrow_up ⬆️ arrow_down ⬇️ arrow_left ⬅️ arrow_right ➡️ recycle ♻️
red_circle 🔴 green_circle 🟢 blue_circle 🔵 checkered_flag 🏁 money 💰 gem 💎 crown 👑 bomb 💣 pill 💊 microscope 🔬`;

const words = NAMES.split(/\s+/u);

/** name -> emoji, in the order in which they are offered. */
export const emoji = new Map(
  Array.from({ length: words.length / 2 }, (_, index) => [words[2 * index], words[2 * index + 1]]),
);

/** Names that begin with `start`, then those that hold it: `[name, emoji]` of each, at most `most`. */
export function emojiLike(start, most) {
  const all = [...emoji];
  const begin = all.filter(([name]) => name.startsWith(start));
  const hold = all.filter(([name]) => !name.startsWith(start) && name.includes(start));
  return [...begin, ...hold].slice(0, most);
}
