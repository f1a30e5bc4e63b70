import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { basename, dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import manifest from "../../package.json" with { type: "json" }

const template = fileURLToPath(new URL("../../template/", import.meta.url))

/** A folder that `keel init` would have to write over. */
export class FolderNotEmpty extends Schema.TaggedError<FolderNotEmpty>()("FolderNotEmpty", { folder: Schema.String }) {
  override get message() {
    return `${this.folder} is not empty. Give the name of a new folder: keel init my-recipe`
  }
}

const Dependencies = Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
const Owner = Schema.fromJsonString(Schema.Struct({ dependencies: Dependencies, devDependencies: Dependencies }))

/** The dependency on this Keel in the package.json of `folder`: a tarball or a clone as it was installed, else the version. */
const dependency = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const file = (path: string) => `file:${relative(folder, path)}`
  const keel = dirname(fileURLToPath(import.meta.resolve("keel/package.json")))
  if (basename(dirname(keel)) !== "node_modules") return file(keel)
  const project = join(keel, "../..")
  const { dependencies, devDependencies } = yield* fs.readFileString(join(project, "package.json")).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Owner)),
    Effect.orElseSucceed((): typeof Owner.Type => ({}))
  )
  const installed = { ...devDependencies, ...dependencies }["keel"] ?? manifest.version
  return installed.startsWith("file:") ? file(join(project, installed.slice("file:".length))) : installed
})

export const init = Command.make(
  "init",
  { folder: Argument.String("folder").pipe(Argument.withDescription("A folder that is new or empty")) },
  Effect.fn(function*({ folder }) {
    const fs = yield* FileSystem.FileSystem
    if ((yield* fs.exists(folder)) && (yield* fs.readDirectory(folder)).length > 0) {
      return yield* new FolderNotEmpty({ folder })
    }
    const project = {
      name: basename(resolve(folder)).toLowerCase().replaceAll(/[^a-z0-9-]+/gu, "-"),
      private: true,
      type: "module",
      engines: manifest.engines,
      scripts: {
        check: "tsc && keel check recipe.ts",
        test: "node --test",
        simulate: "keel simulate recipe.ts",
        start: "keel run recipe.ts"
      },
      dependencies: { keel: yield* dependency(resolve(folder)) },
      devDependencies: { "@types/node": "^24.0.0", "fast-check": "^4.0.0", typescript: "^7.0.0" }
    }
    yield* fs.copy(template, folder)
    yield* fs.writeFileString(join(folder, "package.json"), `${JSON.stringify(project, null, 2)}\n`)
    // npm leaves a file of this name out of packages, so that the template cannot have it.
    yield* fs.writeFileString(join(folder, ".gitignore"), "node_modules/\nruns/\n")
    yield* Console.log(
      `${folder} has a recipe and rows of data; README.md there says how to replace them by yours. Next:\n\n` +
        `  cd ${folder}\n  npm install\n  npm run check\n  npm test\n  npm run simulate\n  npm start`
    )
  })
).pipe(
  Command.withDescription("Write a new project into an empty folder: recipe, data, tests, configuration")
)
