import ArgumentParser

@main
struct LessSync: ParsableCommand {}
