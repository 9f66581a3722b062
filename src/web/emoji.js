// Emoji by name, as in `:tada:`.
//
// Owns: the names. It never touches the page. Tested by tests/web/format.test.mjs.

/** "name emoji name emoji ...": the first ones are offered for reactions. */
const NAMES =
  '+1 👍 heart ❤️ joy 😂 tada 🎉 open_mouth 😮 cry 😢 pray 🙏 eyes 👀 fire 🔥 rocket 🚀 100 💯 ' +
  'thinking 🤔 clap 👏 white_check_mark ✅ x ❌ -1 👎 smile 😄 wave 👋 ok_hand 👌 muscle 💪 star ⭐ sob 😭 ' +
  'rofl 🤣 sunglasses 😎 grin 😁 grinning 😀 laughing 😆 sweat_smile 😅 slightly_smiling_face 🙂 ' +
  'upside_down 🙃 wink 😉 blush 😊 innocent 😇 heart_eyes 😍 yum 😋 stuck_out_tongue 😛 hugs 🤗 ' +
  'neutral_face 😐 smirk 😏 roll_eyes 🙄 pensive 😔 sleeping 😴 mask 😷 exploding_head 🤯 partying_face 🥳 ' +
  'nerd_face 🤓 frowning ☹️ flushed 😳 pleading_face 🥺 scream 😱 weary 😩 rage 😡 skull 💀 poop 💩 ghost 👻 ' +
  'alien 👽 robot 🤖 cat 🐱 dog 🐶 see_no_evil 🙈 unicorn 🦄 bug 🐛 penguin 🐧 broken_heart 💔 ' +
  'yellow_heart 💛 green_heart 💚 blue_heart 💙 purple_heart 💜 boom 💥 sparkles ✨ zap ⚡ zzz 💤 v ✌️ ' +
  'crossed_fingers 🤞 point_right 👉 raised_hand ✋ fist ✊ punch 👊 handshake 🤝 raised_hands 🙌 shrug 🤷 ' +
  'facepalm 🤦 brain 🧠 sunny ☀️ snowflake ❄️ rainbow 🌈 earth_africa 🌍 christmas_tree 🎄 rose 🌹 ' +
  'sunflower 🌻 four_leaf_clover 🍀 pizza 🍕 cake 🍰 birthday 🎂 coffee ☕ tea 🍵 beer 🍺 beers 🍻 bike 🚲 ' +
  'train 🚆 gift 🎁 trophy 🏆 dart 🎯 musical_note 🎵 computer 💻 bulb 💡 mag 🔍 key 🔑 wrench 🔧 gear ⚙️ ' +
  'link 🔗 pushpin 📌 memo 📝 pencil2 ✏️ books 📚 package 📦 chart 📈 alarm_clock ⏰ bell 🔔 warning ⚠️ ' +
  'construction 🚧 question ❓ exclamation ❗ heavy_check_mark ✔️ arrow_right ➡️ recycle ♻️ ' +
  'red_circle 🔴 green_circle 🟢 money 💰 crown 👑 bomb 💣';

const words = NAMES.split(' ');

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
