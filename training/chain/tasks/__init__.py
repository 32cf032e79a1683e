"""What the stages do, a module each, which imports nothing but what that work uses.

Each is a function of the folder to fill, of its inputs and of where it reports. All that its result
depends on are these inputs, from which the stage's key is made, and its code: the module and what
it imports.
"""
