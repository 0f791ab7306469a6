import NIOCore
import Testing

@testable import SyncTransport

@Suite("HTTP stages")
struct HTTPStageMachineTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func at(_ seconds: Int64) -> NIODeadline { Self.start + .seconds(seconds) }

    @Test("R4: bytes of a head do not move its deadline of 10 s")
    func slowHead() {
        var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
        #expect(machine.deadline == at(10))
        machine.bytesArrived(at: at(9))
        #expect(machine.deadline == at(10))
    }

    @Test("a body may take its time while bytes come, a handler any time; idle lasts 75 s, then a head 10 s again")
    func wholeRequest() {
        var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
        machine.headCompleted(at: at(1))
        #expect(machine.deadline == at(61))
        machine.bytesArrived(at: at(50))
        #expect(machine.deadline == at(110))
        machine.requestCompleted(at: at(60))
        #expect(machine.deadline == nil)
        machine.bytesArrived(at: at(61))
        #expect(machine.deadline == nil)
        machine.responseCompleted(at: at(70))
        #expect(machine.stage == .idle && machine.deadline == at(145))
        machine.bytesArrived(at: at(140))
        #expect(machine.stage == .head && machine.deadline == at(150))
    }

    @Test("an early response leaves the rest of the body to arrive")
    func earlyResponse() {
        var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
        machine.headCompleted(at: at(0))
        machine.responseCompleted(at: at(1))
        #expect(machine.stage == .body && machine.isResponseComplete)
        machine.requestCompleted(at: at(2))
        #expect(machine.stage == .idle)
        machine.headCompleted(at: at(3))
        #expect(!machine.isResponseComplete)
    }

    @Test("a response that is not taken has 60 s, and a handler that is at work any time")
    func stalledResponse() {
        var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
        machine.headCompleted(at: at(1))
        machine.requestCompleted(at: at(1))
        machine.outputBlocked(taken: 9, at: at(2))
        machine.outputBlocked(taken: 9, at: at(3))
        #expect(machine.deadline == at(62))
        machine.outputFreed(at: at(30))
        #expect(machine.deadline == nil)
        let isOver = machine.isOver(taken: 9, at: at(1_000))
        #expect(!isOver)
    }

    @Test("a response may be taken slowly, a byte in 60 s")
    func slowResponse() {
        var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
        machine.headCompleted(at: at(0))
        machine.requestCompleted(at: at(0))
        machine.outputBlocked(taken: 0, at: at(0))
        let early = machine.isOver(taken: 0, at: at(59))
        let slow = machine.isOver(taken: 1, at: at(60))
        #expect(!early && !slow && machine.deadline == at(120))
        let slower = machine.isOver(taken: 2, at: at(121))
        let stalled = machine.isOver(taken: 2, at: at(181))
        #expect(!slower && stalled)
    }

    @Test("a request behind a response that is not taken has 60 s too, wherever it stands")
    func stalledPipeline() {
        for stage in [HTTPStageMachine.Stage.head, .body, .responding, .idle] {
            var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
            machine.headCompleted(at: at(0))
            machine.requestCompleted(at: at(0))
            machine.outputBlocked(taken: 0, at: at(0))
            machine.responseCompleted(at: at(0))
            if stage != .idle { machine.bytesArrived(at: at(1)) }
            if stage == .body || stage == .responding { machine.headCompleted(at: at(2)) }
            if stage == .responding { machine.requestCompleted(at: at(3)) }
            #expect(machine.stage == stage && machine.isOutputBlocked && machine.deadline == at(60))
            let isOver = machine.isOver(taken: 0, at: at(60))
            #expect(isOver)
        }
    }

    @Test("a stage begins anew once what was written is taken, since nothing was read meanwhile")
    func freedOutput() {
        var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
        machine.outputBlocked(taken: 0, at: at(1))
        machine.outputFreed(at: at(40))
        #expect(machine.deadline == at(50))
        machine.headCompleted(at: at(41))
        machine.outputBlocked(taken: 0, at: at(42))
        machine.outputFreed(at: at(50))
        #expect(machine.deadline == at(110))
        machine.requestCompleted(at: at(51))
        machine.outputBlocked(taken: 0, at: at(52))
        machine.responseCompleted(at: at(53))
        machine.outputFreed(at: at(110))
        #expect(machine.deadline == at(185) && !machine.isOutputBlocked)
        machine.outputFreed(at: at(150))
        #expect(machine.deadline == at(185))
    }

    @Test("lingering is bounded once and for all")
    func lingering() {
        var machine = HTTPStageMachine(timeouts: .init(), now: Self.start)
        machine.linger(at: at(1))
        machine.bytesArrived(at: at(2))
        machine.headCompleted(at: at(2))
        machine.linger(at: at(2))
        machine.requestCompleted(at: at(2))
        machine.outputBlocked(taken: 0, at: at(2))
        #expect(!machine.isOutputBlocked)
        machine.outputFreed(at: at(2))
        #expect(machine.stage == .lingering && machine.deadline == at(3))
    }
}
