import NIOPosix
import NIOWebSocket
import NIOSSL
import NIOHTTP1
