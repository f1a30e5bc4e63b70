/**
 * Simple English as children's stories use it: base words, irregular forms, and the rules for regular endings. Written from
 * general knowledge, not counted in a corpus.
 */
const lists: ReadonlyArray<string> = [
  // Function words
  `
  a an the this that these those some any no every each all both few many much more most other another such same
  own one two three four five six seven eight nine ten first second third last next i you he she it we they me him
  her us them my your his its our their mine yours hers ours theirs myself yourself himself herself itself
  ourselves themselves who whom whose what which when where why how and or but nor so yet if because while until
  unless although though since than as of at by for with about against between into through during before after
  above below to from up down in out on off over under again further then once here there not only too very just
  also even still already always never ever often sometimes maybe perhaps soon now today tomorrow yesterday
  tonight later ago almost quite really away back together alone around near far along across behind beside inside
  outside onto toward towards upon without within instead else anyway anymore everyone everything everybody
  everywhere someone something somebody somewhere anyone anything anybody anywhere nobody nothing none nowhere yes
  okay oh wow hello hi goodbye bye please thanks thank sorry hooray hey like enough
  `,
  // Irregular verb forms
  `
  am is are was were be been being do does did done have has had having can could will would shall should may
  might must isn't aren't wasn't weren't don't doesn't didn't can't couldn't won't wouldn't shouldn't haven't
  hasn't hadn't i'm you're he's she's it's we're they're i'll you'll he'll she'll it'll we'll they'll i've you've
  we've they've i'd you'd he'd she'd we'd they'd let's that's what's where's there's here's who's went gone came
  become became got gotten gave given took taken made said told saw seen knew known thought found felt left kept
  began begun ran sang sung sat slept stood stuck swam swum swept taught threw thrown wore woke woken won wrote
  written ate eaten drank drunk drew drawn drove driven fell fallen flew flown forgot forgotten grew grown heard
  held hid hidden hit hurt led lent lost met paid put read rode ridden rose rang rung sent set shone shot shut
  sold spent spoke spoken stole stolen bit bitten blew blown bought brought broke broken built burnt caught chose
  chosen cut dug fed fought froze frozen laid lay lit meant shook shaken understood bent bled slid spun stung tore
  torn wept wound
  `,
  // Verbs
  `
  go come get give take make say tell see know think find feel leave keep begin start run sing sit sleep stand
  stick swim sweep teach throw wear wake win write eat drink draw drive fall fly forget grow hear hold hide lead
  lend lose meet pay ride rise ring send shine shoot sell spend speak steal bite blow buy bring break build burn
  catch choose dig feed fight freeze shake understand bend slide spin tear love want need help play work look
  watch listen talk ask answer call shout yell cry laugh smile giggle grin hug kiss walk jump hop skip dance climb
  crawl roll push pull lift carry drop pick pack open close turn stop wait stay live die move touch smell taste
  hope wish dream try learn show share save use clean wash brush cook bake mix pour fill paint color count guess
  remember wonder worry care promise forgive agree decide plan explore discover search follow chase hurry return
  visit invite join gather collect cover wrap fix mend tie hang knock pat pet poke scare surprise frighten happen
  seem appear disappear notice point wave nod whisper sigh snore bark meow roar growl chirp buzz sail float sink
  splash drip melt rain snow fish hunt plant water pinch stretch rest relax enjoy trust believe pretend practice
  obey allow warn rescue protect finish end change grab squeeze bounce kick toss swing race trip slip scream
  complain apologize admire belong create add wiggle peek reach sparkle glow cheer clap celebrate welcome offer
  borrow land step explain pass check drag
  `,
  // People and animals
  `
  man woman boy girl child children kid baby person people family mom mommy mum mummy mother dad daddy father
  parent brother sister son daughter grandma grandmother grandpa grandfather granny uncle aunt cousin friend
  neighbor teacher doctor nurse farmer king queen prince princess knight wizard witch fairy giant pirate sailor
  captain driver baker policeman fireman soldier clown stranger lady gentleman sir miss mr mrs student class team
  men women animal dog puppy cat kitten kitty bird duck duckling chicken hen rooster cow calf horse pony pig
  piglet sheep lamb goat rabbit bunny mouse mice rat frog toad shark whale dolphin turtle snake lizard dragon
  dinosaur bear lion tiger elephant giraffe monkey zebra fox wolf deer owl eagle parrot crow penguin swan goose
  squirrel hamster hedgehog bee butterfly ant spider bug worm ladybug snail crab octopus bat monster ghost robot
  doll teddy dino
  `,
  // Things
  `
  ball toy block car truck bus train boat ship plane airplane bike bicycle wagon wheel game puzzle card book story
  page picture paper pen pencil crayon letter box bag basket bottle cup glass bowl plate spoon fork knife pot pan
  jar lid key lock door window wall floor roof house home room kitchen bedroom bathroom bed blanket pillow chair
  table desk couch sofa lamp light candle clock phone radio tv television computer camera mirror hat cap coat
  jacket shirt dress skirt pants shoe sock boot glove scarf button pocket belt necklace crown jewel gem gold
  silver money coin gift present party cake candy cookie ice cream chocolate pie bread butter cheese egg milk
  juice tea soup rice pasta pizza sandwich meat apple banana orange pear grape berry strawberry cherry lemon peach
  carrot potato tomato corn bean pea onion pumpkin vegetable fruit honey sugar salt jam jelly snack lunch dinner
  breakfast food meal feast tree leaf leaves branch flower grass seed bush log stone rock sand mud dirt ground
  hole hill mountain valley river lake pond sea ocean beach island forest wood woods jungle garden park farm barn
  field yard fence gate path road street bridge tunnel town city village store shop school church hospital zoo
  library playground sandbox castle tower tent cave nest web cage kite balloon bubble drum bell horn guitar piano
  music song rope string ribbon thread needle net flag map sign ladder hammer nail tool machine engine bucket
  shovel broom mop soap towel sponge bath tub comb tooth teeth hair head face eye ear nose mouth lip tongue neck
  shoulder arm hand finger thumb leg knee foot feet toe tail wing paw claw fur feather skin bone heart belly tummy
  body blood medicine bandage sun moon star sky cloud wind storm thunder lightning rainbow weather fire smoke air
  day night morning afternoon evening week month year birthday summer winter spring autumn time minute hour moment
  thing place way side top bottom corner middle edge beginning part piece lot pile group line row circle square
  shape sound noise voice word name number question idea problem trouble secret rule lesson trick joke adventure
  journey picnic prize treasure magic spell wand world life fun joy luck mess accident mistake job statue stage
  mail envelope stamp sticker treat trash vase pool mat rug sled shell
  `,
  // Adjectives and adverbs
  `
  good bad big small little large huge tiny tall short long wide thin thick fat heavy strong weak fast slow quick
  quiet loud soft hard smooth rough sharp dull hot cold warm cool wet dry dirty new old young fresh ripe sweet
  sour bitter salty spicy yummy tasty delicious hungry thirsty full empty sleepy tired awake sick well healthy
  safe dangerous careful careless happy sad glad angry mad upset scared afraid brave shy proud lonely bored
  excited surprised worried nervous calm kind mean nice friendly gentle polite rude selfish generous greedy
  jealous honest funny silly serious smart clever wise foolish stupid lazy busy ready late early easy difficult
  simple different special strange normal beautiful pretty ugly cute lovely wonderful amazing great perfect
  terrible awful better best worse worst bright dark shiny colorful red blue green yellow purple pink brown black
  white gray grey golden round flat straight closed missing favorite important true false real right wrong rich
  poor free high low deep whole half lucky magical fancy fluffy furry fuzzy icy sunny rainy cloudy windy snowy
  modest grateful thankful curious patient helpful playful cheerful happily sadly quickly slowly carefully quietly
  loudly suddenly finally gently softly proudly
  `
]

const listed: ReadonlySet<string> = new Set(lists.join(" ").split(/\s+/u).filter((word) => word !== ""))

/** First names, all of one or the other pronoun; some of them are also common words (Rose, Will). */
export const names: Readonly<Record<"she" | "he", ReadonlySet<string>>> = {
  she: new Set(
    ("amy anna bella daisy ella emily emma grace jane jill kate lily lisa lucy maria mary mia molly " +
      "olivia rose sally sara sarah sophie sue susie zoe annie lola mimi kim lulu penny ruby ava chloe").split(" ")
  ),
  he: new Set(
    ("ben billy bob bobby charlie dan danny david fred george jack jake james jimmy joe john johnny leo " +
      "luke mark mike max nick pete peter roger sam spot tim timmy tom tommy toby will finn henry buddy jim rex oscar")
      .split(" ")
  )
}

/** Ending, and what it replaces: `stories` is `story` + `ies`. */
const endings: ReadonlyArray<readonly [ending: string, base: string]> = [
  ["'s", ""],
  ["s'", "s"],
  ["s", ""],
  ["es", ""],
  ["ies", "y"],
  ["ves", "f"],
  ["ed", ""],
  ["d", ""],
  ["ied", "y"],
  ["ing", ""],
  ["ing", "e"],
  ["er", ""],
  ["r", ""],
  ["ier", "y"],
  ["est", ""],
  ["st", ""],
  ["iest", "y"],
  ["ly", ""],
  ["ily", "y"],
  ["y", ""],
  ["ful", ""],
  ["ness", ""]
]

/** The word, or the word without one regular ending (`hopping`: the doubled letter goes too), is in the list. */
export const isEnglish = (word: string): boolean => {
  const lower = word.toLowerCase().replaceAll("’", "'")
  if (listed.has(lower)) return true
  return endings.some(([ending, base]) => {
    if (!lower.endsWith(ending) || lower.length - ending.length < 2) return false
    const stem = lower.slice(0, lower.length - ending.length)
    const undoubled = /([bdgklmnprt])\1$/u.test(stem) && /^(?:ed|ing|er|est|y)$/u.test(ending)
      ? stem.slice(0, -1)
      : stem
    return listed.has(stem + base) || base === "" && listed.has(undoubled)
  })
}

export const isName = (word: string): boolean => {
  const lower = word.toLowerCase().replace(/['’]s$/u, "")
  return names.she.has(lower) || names.he.has(lower)
}

/** How many words the list holds, endings not counted. */
export const listedWords: number = listed.size
