"""Running a recorded execution again: in a folder of its own, from the code, inputs and command that were recorded."""
