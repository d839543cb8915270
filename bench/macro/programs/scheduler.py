"""A small operating system: tasks send packets through queues to devices.

pyperformance: richards.  Method calls on objects with mutable state; packets
and events are made and dropped all the time.
"""

LOOPS = 12
PACKETS = 4000
DEVICES = 6


class Packet:
    def __init__(self, kind, payload, link=None):
        self.kind = kind
        self.payload = payload
        self.hops = [kind]
        self.link = link


class Task:
    def __init__(self, system, name, priority):
        self.system = system
        self.name = name
        self.priority = priority
        self.inbox = []
        self.handled = 0

    def ready(self):
        return bool(self.inbox)

    def receive(self, packet):
        packet.hops.append(self.name)
        self.inbox.append(packet)

    def step(self):
        raise NotImplementedError


class Worker(Task):
    """Splits what arrives into packets for the devices."""

    def step(self):
        packet = self.inbox.pop()
        self.handled += 1
        for index, value in enumerate(packet.payload):
            device = self.system.tasks[f"device {value % DEVICES}"]
            device.receive(Packet("part", [value, index], packet))


class Device(Task):
    """Answers in bursts, so that packets stay alive for a while."""

    def ready(self):
        return len(self.inbox) > 6 or (self.inbox and self.system.draining)

    def step(self):
        waiting, self.inbox = self.inbox, []
        for packet in waiting:
            self.handled += 1
            answer = Packet("answer", packet.payload + [self.handled])
            answer.hops = packet.link.hops + answer.hops
            self.system.tasks["collector"].receive(answer)


class Collector(Task):
    def __init__(self, system, name, priority):
        super().__init__(system, name, priority)
        self.total = 0

    def step(self):
        packet = self.inbox.pop()
        self.handled += 1
        self.total += sum(packet.payload) + len(packet.hops)


class System:
    def __init__(self):
        self.draining = False
        self.tasks = {}
        self.add(Worker, "worker", 10)
        for number in range(DEVICES):
            self.add(Device, f"device {number}", 20 + number)
        self.add(Collector, "collector", 5)
        self.order = sorted(self.tasks.values(), key=lambda t: -t.priority)

    def add(self, kind, name, priority):
        self.tasks[name] = kind(self, name, priority)

    def schedule(self):
        busy = True
        while busy:
            busy = False
            for task in self.order:
                if task.ready():
                    task.step()
                    busy = True


def setup():
    return PACKETS


def run(count):
    system = System()
    for number in range(count):
        payload = [number * 7 + part for part in range(number % 8)]
        system.tasks["worker"].receive(Packet("work", payload))
        if number % 10 == 9:
            system.schedule()
    system.draining = True
    system.schedule()
    handled = [task.handled for task in system.order]
    return f"{handled} {system.tasks['collector'].total}"
