import CEpoll
import CLibPQ
