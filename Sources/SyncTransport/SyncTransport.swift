import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
