import { reference } from "../../src/tensor/reference.ts"
import { conformance } from "./conformance.ts"

conformance("reference", reference, 0)
